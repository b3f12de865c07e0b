/**
 * What a Postgres server tells about itself, its settings, and what the user may do.
 *
 * One statement asks for all of it, which any user may run.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * The facts, each by what the broker asks of it. Times are in milliseconds, 0 where
 * there is no limit; `-1` of connections is no limit.
 *
 * @category models
 * @since 0.2.0
 */
export const Facts = Schema.Struct({
  version: Schema.Int,
  versionName: Schema.String,
  isStandby: Schema.Boolean,
  isReadOnly: Schema.Boolean,
  encoding: Schema.String,
  fsync: Schema.Boolean,
  fullPageWrites: Schema.Boolean,
  synchronousCommit: Schema.String,
  autovacuum: Schema.Boolean,
  idleSessionMs: Schema.Number,
  statementMs: Schema.Number,
  lockMs: Schema.Number,
  connections: Schema.Int,
  used: Schema.Int,
  databaseConnections: Schema.Int,
  roleConnections: Schema.Int,
  role: Schema.String,
  clockMs: Schema.Number,
  hasSchema: Schema.Boolean,
  mayUse: Schema.Boolean,
  functions: Schema.Int,
  lacks: Schema.Int,
  held: Schema.Number,
  dead: Schema.Number
})

/**
 * The facts once they are read.
 *
 * @category models
 * @since 0.2.0
 */
export type Facts = typeof Facts.Type

/**
 * Reads what `sql` gives.
 *
 * @category conversions
 * @since 0.2.0
 */
export const read = Schema.decodeUnknownSync(Schema.fromJsonString(Facts))

const milliseconds = (setting: string): string =>
  `coalesce((select setting::bigint from pg_settings where name = '${setting}'), 0)`

/**
 * The statement, of which the schema's name is `$1`.
 *
 * @category constants
 * @since 0.2.0
 */
export const sql = `
with functions as (
  select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = $1::text and p.proargnames[1] = 'p'
)
select json_build_object(
  'version', current_setting('server_version_num')::int,
  'versionName', current_setting('server_version'),
  'isStandby', pg_is_in_recovery(),
  'isReadOnly', current_setting('default_transaction_read_only')::boolean,
  'encoding', getdatabaseencoding(),
  'fsync', current_setting('fsync')::boolean,
  'fullPageWrites', current_setting('full_page_writes')::boolean,
  'synchronousCommit', current_setting('synchronous_commit'),
  'autovacuum', current_setting('autovacuum')::boolean and current_setting('track_counts')::boolean,
  'idleSessionMs', ${milliseconds("idle_session_timeout")},
  'statementMs', ${milliseconds("statement_timeout")},
  'lockMs', ${milliseconds("lock_timeout")},
  'connections', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - ${milliseconds("reserved_connections")},
  'used', (select coalesce(sum(numbackends), 0) from pg_stat_database),
  'databaseConnections', (select datconnlimit from pg_database where datname = current_database()),
  'roleConnections', coalesce((select rolconnlimit from pg_roles where rolname = current_user), -1),
  'role', current_user,
  'clockMs', extract(epoch from clock_timestamp()) * 1000,
  'hasSchema', to_regnamespace($1::text) is not null,
  'mayUse', coalesce(has_schema_privilege(to_regnamespace($1::text), 'usage'), false),
  'functions', (select count(*) from functions),
  'lacks', (select count(*) from functions where not has_function_privilege(oid, 'execute')),
  'held', coalesce((select sum(n_live_tup) from pg_stat_all_tables where schemaname = $1::text), 0),
  'dead', coalesce((select sum(n_dead_tup) from pg_stat_all_tables where schemaname = $1::text), 0)
)::text`
