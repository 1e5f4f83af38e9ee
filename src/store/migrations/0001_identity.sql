CREATE TABLE tenants (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE issuers (
    tenant_id      TEXT    NOT NULL REFERENCES tenants (id),
    issuer         TEXT    NOT NULL,
    jwks_uri       TEXT,
    audiences      TEXT    NOT NULL,
    subject_claim  TEXT    NOT NULL,
    max_age        BIGINT,
    leeway         BIGINT  NOT NULL,
    managed_by     TEXT    NOT NULL,
    active         BOOLEAN NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, issuer)
);

CREATE TABLE agents (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant_id    TEXT    NOT NULL REFERENCES tenants (id),
    name         TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    max_effect   TEXT,
    psa_user     TEXT,
    managed_by   TEXT    NOT NULL,
    active       BOOLEAN NOT NULL,
    disabled_at  BIGINT,
    retired_at   BIGINT,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL
);

CREATE UNIQUE INDEX agents_by_binding ON agents (tenant_id, issuer, subject) WHERE retired_at IS NULL;
CREATE UNIQUE INDEX agents_by_name ON agents (tenant_id, name) WHERE retired_at IS NULL;

CREATE TABLE catalogs (
    tenant_id   TEXT   NOT NULL PRIMARY KEY REFERENCES tenants (id),
    hash        TEXT   NOT NULL,
    body        BYTEA  NOT NULL,
    fetched_at  BIGINT NOT NULL
);
