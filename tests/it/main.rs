//! Sidegate as others see it: its rooms through their public doors, on real parts.

mod admin;
mod architecture;
mod binary;
mod calls;
mod clients;
mod config;
mod credentials;
mod deploy;
mod discovery;
mod idp;
mod keys_contract;
mod keys_contract_demo;
mod keys_demo;
mod keys_postgres;
mod keys_static;
mod operations;
mod psa_rest;
mod records;
mod release_gate;
mod reload;
mod store;
mod support;
mod token_matrix;
mod whole_postgres;
