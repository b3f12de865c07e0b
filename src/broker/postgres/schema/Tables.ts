/**
 * The tables of a broker in Postgres.
 *
 * - `meta`, one row: the version of the schema, the cluster that it was last seen on,
 *   and how often that changed.
 * - `users`: of each user's log the epoch and head, how far events are dropped (`floor`),
 *   folded into `folds` and deleted (`trimmed`). Whoever writes to a log locks its row
 *   first.
 * - `entries`: the events. `total` are the bytes of all up to this one.
 * - `spent`: which numbers of a source were taken by events that are deleted.
 * - `folds`: the state of runs after the event at `users.folded`.
 * - `standings`: where runs stand: active (`a`) under a lease, ended as lost (`l`) or
 *   otherwise (`e`). `home` is the process that the run was begun in, `free` that its
 *   process let it go, `heir` the lease that waits for it, `barred` processes whose
 *   events of it are refused, `latest` up to when a start is late. `v` rises with each
 *   change.
 * - `leases`, `lease_users`, `mailbox`: which processes live, of whom they have runs,
 *   and for whom commands wait.
 * - `commands` that are open and `outcomes` of those that were decided.
 * - `readers`, `acks`, `revocations`, `late`: what is noted of users beside the log.
 *
 * All times are milliseconds of the server's clock, those of leases none at all.
 *
 * @since 0.2.0
 */

// Rows that are written again and again get room to change in place, and are tidied early.
export const busy = "with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200)"

// Rows that come and go at the same pace are tidied early, so that their room is used again.
const passing = "with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, " +
  "autovacuum_vacuum_insert_scale_factor = 0.2)"

/**
 * What makes the tables, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const tables = `
create table meta (
  one boolean primary key default true check (one),
  version int not null,
  cluster text not null,
  generation int not null default 0
);
insert into meta (version, cluster) values (0, (select system_identifier::text from pg_control_system()));

create table users (
  id bigint generated always as identity primary key,
  name text not null unique,
  epoch text not null,
  lineage text not null,
  head bigint not null default 0,
  total bigint not null default 0,
  floor bigint not null default 0,
  floor_total bigint not null default 0,
  folded bigint not null default 0,
  trimmed bigint not null default 0,
  opened bigint not null,
  touched bigint not null
) ${busy};

create table entries (
  log bigint not null,
  off bigint not null,
  source text not null,
  seq bigint not null,
  type text not null,
  delivery text not null,
  at bigint not null,
  run text,
  thread text,
  confirm boolean not null,
  bytes int not null,
  total bigint not null,
  took bigint not null,
  body text not null,
  primary key (log, off),
  unique (log, source, seq)
) ${passing};

create table spent (
  log bigint not null,
  source text not null,
  numbers int8multirange not null,
  last bigint not null,
  primary key (log, source)
) ${busy};

create table folds (
  log bigint not null,
  run text not null,
  state text not null,
  primary key (log, run)
) ${busy};

create table standings (
  log bigint not null,
  run text not null,
  state "char" not null,
  lease text not null default '',
  thread text,
  started bigint,
  free boolean not null default false,
  heir text not null default '',
  barred text[] not null default '{}',
  home text not null default '',
  latest bigint not null default 0,
  noted bigint not null default 0,
  v bigint not null default 1,
  primary key (log, run)
) ${busy};

create sequence lease_counts;
create table leases (
  lease text primary key,
  state "char" not null,
  count bigint not null
) ${busy};
create table lease_users (
  lease text not null,
  name text not null,
  mark bigint not null,
  primary key (lease, name)
) ${busy};
create table mailbox (
  process text not null,
  name text not null,
  number bigint not null,
  primary key (process, name)
) ${busy};

create sequence command_numbers;
create table commands (
  name text not null,
  id text not null,
  number bigint not null,
  digest text not null,
  till bigint not null,
  senders text[] not null,
  taker text not null default '',
  run text not null,
  body text not null,
  primary key (name, id)
) ${busy};
create table outcomes (
  name text not null,
  id text not null,
  at bigint not null,
  digest text not null,
  outcome text not null,
  primary key (name, id)
) ${passing};

create unlogged table readers (
  name text not null,
  node text not null,
  count int not null,
  until bigint not null,
  primary key (name, node)
) ${busy};
create table acks (
  name text primary key,
  epoch text not null,
  offsets bigint[] not null
) ${busy};
create table revocations (
  name text primary key,
  at bigint not null,
  until bigint not null
) ${busy};
create table late (
  name text not null,
  by text not null,
  until bigint not null,
  primary key (name, by)
) ${busy};

create type event as (
  n bigint,
  source text,
  seq bigint,
  type text,
  delivery text,
  at bigint,
  run text,
  thread text,
  confirm boolean,
  bytes int,
  body text
);
`
