-- Gateways over a link.

alter table gateways add column allow_insecure_tls boolean not null default false;

-- What the server keeps of each gateway that it holds a link to.
create table gateway_links (
  gateway_id uuid primary key references gateways on delete cascade,
  organization_id uuid not null references organizations on delete cascade,
  -- This server's identity towards the gateway: an Ed25519 private key (PKCS #8), sealed.
  device_key_sealed bytea not null,
  -- Workspace files that this version of the gateway does not take.
  unsupported_files text[] not null default '{}',
  -- The gateway's version when that was learned; another version is asked anew.
  unsupported_version text
);

-- Where a session at a gateway stood before it was begun anew, so that it is begun anew once only.
create table session_resets (
  agent_id uuid primary key references agents on delete cascade,
  generation integer not null,
  -- The session's id and time of last change, as the gateway gave them.
  before jsonb not null
);

-- What work at the gateway ended in failure last, for going again.
alter table agents add column provision_failed text check (provision_failed in ('provision', 'update', 'delete'));
