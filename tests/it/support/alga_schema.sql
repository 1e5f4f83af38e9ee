-- The tables of an AlgaPSA database that Sidegate touches, reduced to what it
-- and the PSA's check of a key read or write. The commercial edition's shape;
-- the open edition's is made of it in support/alga.rs.
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

-- Whatever an agent writes in the PSA refers to its user.
CREATE TABLE comments (
    tenant uuid NOT NULL,
    comment_id uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id uuid,
    note text,
    PRIMARY KEY (tenant, comment_id),
    FOREIGN KEY (tenant, user_id) REFERENCES users (tenant, user_id)
);

CREATE TABLE microsoft_profiles (
    tenant uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    profile_id uuid NOT NULL DEFAULT gen_random_uuid(),
    display_name text NOT NULL,
    tenant_id text NOT NULL DEFAULT 'common',
    client_secret_ref text NOT NULL DEFAULT 'ref',
    is_default boolean NOT NULL DEFAULT false,
    is_archived boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, profile_id)
);

-- The PSA's own MCP server, in the commercial edition alone. Its tenants are text and nothing refers to anything.
CREATE TABLE agents (
    agent_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant varchar(255) NOT NULL,
    name varchar(255) NOT NULL,
    description varchar(255),
    idp_issuer varchar(255),
    idp_subject varchar(255),
    active boolean NOT NULL DEFAULT true,
    created_by uuid,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, idp_issuer, idp_subject)
);

CREATE TABLE agent_idp_providers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant varchar(255) NOT NULL,
    issuer varchar(255) NOT NULL,
    jwks_uri varchar(255) NOT NULL,
    audience varchar(255),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    subject_claim varchar(255) NOT NULL DEFAULT 'sub',
    kind varchar(255) NOT NULL DEFAULT 'custom',
    entra_tenant_id varchar(255),
    UNIQUE (tenant, issuer)
);

CREATE TABLE agent_roles (
    agent_id uuid NOT NULL,
    role_id uuid NOT NULL,
    tenant varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, role_id)
);

CREATE TABLE mcp_agent_audit (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant varchar(255) NOT NULL,
    agent_id uuid NOT NULL,
    tool varchar(255) NOT NULL,
    arguments jsonb,
    ok boolean NOT NULL DEFAULT true,
    status_code integer,
    decision varchar(255),
    result_summary text,
    created_at timestamptz NOT NULL DEFAULT now()
);
