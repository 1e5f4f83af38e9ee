-- The tables of an AlgaPSA database that Sidegate touches, reduced to what it
-- and the PSA's check of a key read or write. The commercial edition's shape;
-- the open edition's is made of it by `open_edition` in support/alga.rs.
CREATE TABLE tenants (
    tenant uuid PRIMARY KEY,
    client_name text NOT NULL,
    email text NOT NULL,
    suspended_at timestamptz,
    suspended_reason text,
    CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL))
);

CREATE TABLE users (
    tenant uuid NOT NULL REFERENCES tenants,
    user_id uuid NOT NULL DEFAULT gen_random_uuid(),
    username text NOT NULL,
    hashed_password text NOT NULL,
    first_name text,
    last_name text,
    email text NOT NULL,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    is_inactive boolean DEFAULT false,
    user_type text NOT NULL DEFAULT 'internal' CHECK (user_type IN ('internal', 'client')),
    PRIMARY KEY (tenant, user_id, email),
    UNIQUE (tenant, user_id)
);

CREATE TABLE roles (
    tenant uuid NOT NULL REFERENCES tenants,
    role_id uuid NOT NULL DEFAULT gen_random_uuid(),
    role_name text NOT NULL,
    description text,
    msp boolean NOT NULL DEFAULT true,
    client boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, role_id)
);

CREATE TABLE user_roles (
    tenant uuid NOT NULL,
    user_id uuid NOT NULL,
    role_id uuid NOT NULL,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (tenant, user_id, role_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users (tenant, user_id),
    FOREIGN KEY (tenant, role_id) REFERENCES roles (tenant, role_id)
);

CREATE TABLE permissions (
    tenant uuid NOT NULL REFERENCES tenants,
    permission_id uuid NOT NULL DEFAULT gen_random_uuid(),
    resource text NOT NULL,
    action text NOT NULL,
    msp boolean NOT NULL DEFAULT true,
    client boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, permission_id)
);

CREATE TABLE role_permissions (
    tenant uuid NOT NULL REFERENCES tenants,
    role_id uuid NOT NULL,
    permission_id uuid NOT NULL,
    PRIMARY KEY (tenant, role_id, permission_id)
);

CREATE TABLE api_keys (
    api_key_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    api_key varchar(255) NOT NULL UNIQUE,
    user_id uuid,
    tenant uuid NOT NULL,
    description varchar(255),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz,
    purpose varchar(255) NOT NULL DEFAULT 'general',
    metadata jsonb,
    usage_limit integer,
    usage_count integer NOT NULL DEFAULT 0,
    agent_id uuid
);
CREATE INDEX ON api_keys (purpose, expires_at);
