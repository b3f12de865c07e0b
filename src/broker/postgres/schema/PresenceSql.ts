/**
 * The functions over what is noted of users beside the log: who reads, what was
 * acknowledged, that access was revoked, that events are late.
 *
 * @since 0.2.0
 */

// So many acknowledged events are remembered of a user.
const maxAcknowledged = 128

/**
 * What makes the functions, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const functions = `
-- Tells how many read in a process, of users where that is to be told, and gives of each user what a reader may have missed: user,
-- epoch and head, when access was revoked or 0, for how long events are late or 0, and what was acknowledged.
create function attend(p jsonb) returns jsonb language plpgsql as $$
declare
  now bigint := now_ms();
begin
  delete from readers r using jsonb_array_elements(p->'users') x
    where r.name = x->>0 and r.node = p->>'node' and (x->>1)::int = 0;
  insert into readers (name, node, count, until)
    select x->>0, p->>'node', (x->>1)::int, now + (p->>'forMs')::bigint from jsonb_array_elements(p->'users') x
      where (x->>1)::int > 0 order by 1
    on conflict (name, node) do update set count = excluded.count, until = excluded.until;
  return (
    select coalesce(jsonb_agg(jsonb_build_array(
      x->>0,
      u.epoch,
      u.head,
      coalesce((select r.at from revocations r where r.name = x->>0 and r.until > now), 0),
      coalesce((select max(l.until) - now from late l where l.name = x->>0 and l.until > now), 0),
      coalesce((select to_jsonb(a.offsets) from acks a where a.name = x->>0 and a.epoch = u.epoch), '[]')
    )), '[]')
    from jsonb_array_elements(p->'users') x left join users u on u.name = x->>0
  );
end $$;

create function count_readers(p jsonb) returns jsonb language sql stable as $$
  select to_jsonb(coalesce((select sum(count) from readers where name = p->>'user' and until > now_ms()), 0))
$$;

create function acknowledge(p jsonb) returns jsonb language plpgsql as $$
declare
  off bigint := (p->>'offset')::bigint;
begin
  perform from users where name = p->>'user' and epoch = p->>'epoch' and head >= off for share;
  if not found then return 'false'::jsonb; end if;
  insert into acks as a (name, epoch, offsets) values (p->>'user', p->>'epoch', array[off])
    on conflict (name) do update set epoch = excluded.epoch, offsets = case
      when a.epoch <> excluded.epoch then excluded.offsets
      when off = any(a.offsets) then a.offsets
      else (a.offsets || off)[greatest(1, cardinality(a.offsets) - ${maxAcknowledged - 2}):]
    end;
  return 'true'::jsonb;
end $$;

create function revoke_access(p jsonb) returns jsonb language plpgsql as $$
declare
  revoked bigint;
begin
  insert into revocations as r (name, at, until) values (p->>'user', now_ms(), now_ms() + (p->>'forMs')::bigint)
    on conflict (name) do update set at = greatest(excluded.at, r.at + 1), until = excluded.until
    returning at into revoked;
  return to_jsonb(revoked);
end $$;

create function note_late(p jsonb) returns jsonb language plpgsql as $$
declare
  now bigint := now_ms();
begin
  if (p->>'forMs')::bigint > 0 then
    insert into late (name, by, until) values (p->>'user', p->>'by', now + (p->>'forMs')::bigint)
      on conflict (name, by) do update set until = excluded.until;
  else
    delete from late where name = p->>'user' and by = p->>'by';
  end if;
  return to_jsonb(coalesce((select max(until) - now from late where name = p->>'user' and until > now), 0));
end $$;

-- Does for nobody what an append needs: a lock, a write, a commit.
create function canary(p jsonb) returns jsonb language plpgsql as $$
begin
  insert into late (name, by, until) values ('', p->>'node', now_ms() + 10000)
    on conflict (name, by) do update set until = excluded.until;
  return 'null'::jsonb;
end $$;

-- Which schema this is, and on which cluster. Another cluster than before may lack the last events: then all logs go on under new
-- epochs.
create function greet(p jsonb) returns jsonb language plpgsql as $$
declare
  here text := (select system_identifier::text from pg_control_system());
  m meta;
begin
  select * into m from meta;
  if m.cluster <> here then
    update meta set cluster = here, generation = generation + 1 where cluster <> here;
  end if;
  return jsonb_build_array(m.version, current_setting('server_version_num')::int, current_setting('synchronous_commit'));
end $$;
`
