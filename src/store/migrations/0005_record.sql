-- No reference to a tenant or an agent: the record outlives both.
DROP TABLE events;

-- Who writes a chain is its owner: a process. Another that takes it over settles what was left open.
CREATE TABLE chains (
    id          BIGINT  NOT NULL PRIMARY KEY,
    tenant_id   TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    first_seq   BIGINT  NOT NULL,
    seq         BIGINT  NOT NULL,
    link        BYTEA   NOT NULL,
    bytes       BIGINT  NOT NULL,
    opened_at   BIGINT  NOT NULL,
    touched_at  BIGINT  NOT NULL,
    ended       BOOLEAN NOT NULL,
    settled     BOOLEAN NOT NULL
);
CREATE INDEX chains_by_tenant ON chains (tenant_id, touched_at);
CREATE INDEX chains_unsettled ON chains (owner) WHERE NOT settled;

CREATE TABLE record (
    chain       BIGINT  NOT NULL,
    seq         BIGINT  NOT NULL,
    tenant_id   TEXT    NOT NULL,
    at          BIGINT  NOT NULL,
    kind        TEXT    NOT NULL,
    agent_id    TEXT,
    tool        TEXT,
    entry_id    TEXT,
    decision    TEXT,
    outcome     TEXT,
    status      BIGINT,
    request_id  TEXT,
    digest      BYTEA   NOT NULL,
    link        BYTEA   NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX record_by_time ON record (tenant_id, at);
CREATE INDEX record_by_agent ON record (tenant_id, agent_id, at);
CREATE INDEX record_intents ON record (chain, seq) WHERE kind = 'intent';

-- How far each sink has got in each chain.
CREATE TABLE deliveries (
    sink   TEXT   NOT NULL,
    chain  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (sink, chain)
);
