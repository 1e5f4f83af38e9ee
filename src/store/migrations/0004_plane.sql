-- A row that was deleted is retired too, so that a replica of an earlier version leaves it alone.
ALTER TABLE tenants ADD COLUMN slug TEXT;
ALTER TABLE tenants ADD COLUMN host TEXT;
ALTER TABLE tenants ADD COLUMN psa_tenant TEXT;
ALTER TABLE tenants ADD COLUMN catalog_user TEXT;
ALTER TABLE tenants ADD COLUMN mcp BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE tenants ADD COLUMN console BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE tenants ADD COLUMN active BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE tenants ADD COLUMN managed_by TEXT NOT NULL DEFAULT 'config';
ALTER TABLE tenants ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX tenants_by_slug ON tenants (slug);
CREATE UNIQUE INDEX tenants_by_host ON tenants (host);

ALTER TABLE issuers ADD COLUMN id TEXT;
ALTER TABLE issuers ADD COLUMN kind TEXT NOT NULL DEFAULT 'custom';
ALTER TABLE issuers ADD COLUMN entra_tenant TEXT;
ALTER TABLE issuers ADD COLUMN aliases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE issuers ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX issuers_by_id ON issuers (tenant_id, id);

ALTER TABLE agents ADD COLUMN description TEXT;
ALTER TABLE agents ADD COLUMN kind TEXT;
ALTER TABLE agents ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE agents ADD COLUMN provisioned BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE agents ADD COLUMN created_by TEXT;
ALTER TABLE agents ADD COLUMN deleted_at BIGINT;
ALTER TABLE agents ADD COLUMN keys_void_before BIGINT;
ALTER TABLE agents ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX agents_by_change ON agents (tenant_id, changed);
CREATE INDEX agents_by_age ON agents (tenant_id, created_at, id);
CREATE INDEX agents_by_subject ON agents (tenant_id, issuer, subject);
CREATE INDEX agents_by_any_name ON agents (tenant_id, name);

CREATE TABLE admin_tokens (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant_id     TEXT   REFERENCES tenants (id),
    name          TEXT   NOT NULL,
    hash          TEXT   NOT NULL UNIQUE,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    last_used_at  BIGINT
);

CREATE TABLE signals (
    id       TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    payload  TEXT   NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX signals_by_time ON signals (at, id);

CREATE TABLE usage (
    replica    TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    calls      BIGINT NOT NULL,
    in_flight  BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (replica, key)
);

-- No reference to a tenant or an agent: the record outlives both.
CREATE TABLE events (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL,
    agent_id    TEXT,
    at          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    tool        TEXT,
    entry_id    TEXT,
    decision    TEXT,
    outcome     TEXT,
    status      BIGINT,
    request_id  TEXT,
    body        TEXT   NOT NULL
);
CREATE INDEX events_by_agent ON events (tenant_id, agent_id, at, id);
CREATE INDEX events_by_time ON events (tenant_id, at, id);
CREATE INDEX events_by_age ON events (at);

CREATE TABLE settings (
    name   TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
);
