-- What the server itself has to remember, by name.
create table settings (
  name text primary key,
  value jsonb not null
);

-- The token with which a token was made: it does not outlive that one, and goes with it.
alter table user_tokens add column parent_id text references user_tokens on delete cascade;
create index user_tokens_by_parent on user_tokens (parent_id) where parent_id is not null;
alter table enrolments add column parent_id text references user_tokens on delete cascade;
create index enrolments_by_parent on enrolments (parent_id) where parent_id is not null;
