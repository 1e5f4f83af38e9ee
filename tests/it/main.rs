//! Sidegate as others see it: its rooms through their public doors, on real parts.

mod architecture;
mod token_matrix;
