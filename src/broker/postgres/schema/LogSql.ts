/**
 * The functions over a user's log: what opens it, appends to it, looks at it, folds and
 * trims it.
 *
 * Whoever writes locks the user's row first, so that appends of one user come one after
 * another, and each sees all before it. Whoever only looks sees everything as it was at
 * one moment, and waits for nobody.
 *
 * @since 0.2.0
 */
import * as Command from "../../../protocol/command/Command.ts"
import * as RunEvents from "../../../protocol/event/RunEvents.ts"
import { maxRanges, maxSpentSources } from "../../memory/SequenceSet.ts"

/**
 * So many events after the last fold the next is due, and so many dropped events are
 * deleted together at least.
 *
 * @category limits
 * @since 0.2.0
 */
export const foldEvery = 512

/**
 * The most runs that ended which are remembered, besides those that were lost or bar a
 * process: these stay for as long as their log may.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxEndedRuns = 64

const ended = `'${JSON.stringify(Command.refused("ended"))}'`
const accepted = `'${JSON.stringify(Command.accepted)}'`

/**
 * What makes the function that names the server, or makes it anew. A session plans it once: in SQL it would be read and
 * planned for each call.
 *
 * @category constants
 * @since 0.2.0
 */
export const lineage = `
-- What a server must be to have everything that was ever answered: its timeline, and which cluster in turn.
create or replace function lineage() returns text language plpgsql stable as $$
begin
  return substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) || '.' || (select generation from meta);
end $$;
`

/**
 * What makes the functions, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const functions = `
create function now_ms() returns bigint language sql volatile as
$$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

-- Locks a user's log, and begins it where there is none. On another lineage it goes on under a new epoch.
create function opened(p_user text, p_epoch text) returns users language plpgsql as $$
declare
  u users;
  here text;
begin
  loop
    select * into u from users where name = p_user for update;
    here := lineage();
    exit when u.id is not null;
    insert into users (name, epoch, lineage, opened, touched) values (p_user, p_epoch, here, now_ms(), now_ms())
      on conflict (name) do nothing;
  end loop;
  if u.lineage <> here then
    update users set epoch = p_epoch, lineage = here, opened = now_ms() where id = u.id returning * into u;
  end if;
  return u;
end $$;

create function open_log(p jsonb) returns jsonb language plpgsql as $$
begin
  perform opened(p->>'user', p->>'epoch');
  return 'null'::jsonb;
end $$;

-- Writes where a run stands after a batch: p_kind 2 an ending, 1 a start, 0 neither. Gives whose taken commands are over with
-- those that nobody took ('' nobody's), or nothing where none are.
create function stand(
  p_log bigint, p_run text, p_thread text, p_kind int, p_at bigint, p_lease text, p_now bigint
) returns text language plpgsql as $$
declare
  s standings;
  me text := split_part(p_lease, '.', 1);
  is_known boolean;
  is_late boolean;
begin
  select * into s from standings where log = p_log and run = p_run;
  is_known := found;
  if p_lease = '' then
    update standings set state = 'l', latest = coalesce(greatest(s.started - 1, 0), p_at), noted = p_now, free = false, heir = '',
      barred = array_remove(s.barred, split_part(s.lease, '.', 1)) || split_part(s.lease, '.', 1), v = v + 1
      where log = p_log and run = p_run;
    return split_part(s.lease, '.', 1);
  end if;
  if p_kind = 2 then
    insert into standings (log, run, state, latest, noted) values (p_log, p_run, 'e', p_at, p_now)
      on conflict (log, run) do update set state = 'e', latest = p_at, noted = p_now, free = false, heir = '', v = standings.v + 1,
        barred = case
          when not (s.state = 'a' and s.lease = p_lease) then array_remove(s.barred, me)
          else s.barred
        end;
    return '';
  end if;
  is_late := is_known and s.state <> 'a' and p_at <= s.latest;
  if p_kind = 1 and not is_late then
    insert into standings (log, run, state, lease, thread, started, home) values (p_log, p_run, 'a', p_lease, p_thread, p_at, me)
      on conflict (log, run) do update set state = 'a', lease = p_lease, thread = p_thread, started = p_at, home = me,
        free = false, heir = '', barred = array_remove(s.barred, me), v = standings.v + 1;
    return case when s.state = 'a' and p_at > s.started then '' end;
  end if;
  if is_known and (s.state <> 'a' or s.lease = p_lease and not s.free and s.heir = '') then return null; end if;
  insert into standings (log, run, state, lease, thread, home) values (p_log, p_run, 'a', p_lease, p_thread, me)
    on conflict (log, run) do update set lease = p_lease, thread = p_thread, free = false, heir = '', v = standings.v + 1;
  return null;
end $$;

-- What becomes of a command whose run is over: it is refused, unless a process took it. That one may have done it, and what was
-- refused is never done.
create function outcome_after(p_taker text) returns text language sql immutable as
$$ select case when coalesce(p_taker, '') = '' then ${ended} else ${accepted} end $$;

-- Decides the commands of a run that is over, and gives who is to be told: senders, id, digest and outcome of each.
create function settle(p_user text, p_run text, p_holder text, p_now bigint) returns jsonb language sql as $$
  with gone as (
    delete from commands where name = p_user and run = p_run and (taker = '' or taker = p_holder) returning *
  ), kept as (
    insert into outcomes (name, id, at, digest, outcome) select name, id, p_now, digest, outcome_after(taker) from gone
      on conflict (name, id) do nothing
  )
  select coalesce(jsonb_agg(jsonb_build_array(senders, name, id, digest, outcome_after(taker)) order by number), '[]') from gone
$$;

-- Appends what of a batch is new. p: user, epoch (for a log that begins), lease ('' where lost runs are ended), expected (the
-- versions in which these stand), maxEvents, maxBytes.
create function append(p jsonb, p_batch json) returns jsonb language plpgsql as $$
declare
  u users;
  lease text := p->>'lease';
  me text := split_part(p->>'lease', '.', 1);
  batch event[];
  fresh event[];
  e event;
  refused text[];
  leading_count bigint;
  added bigint;
  before bigint;
  place bigint;
  new_floor bigint;
  new_floor_total bigint;
  now bigint;
  r_run text;
  r_thread text;
  r_kind int;
  r_at bigint;
  done_for text;
  has_ending boolean := false;
  settled jsonb := '[]';
  active bigint := -1;
begin
  u := opened(p->>'user', p->>'epoch');
  now := now_ms();
  before := u.head;
  -- What was answered must be on disk: it is not left to a session that was set otherwise.
  if current_setting('synchronous_commit') = 'off' then perform set_config('synchronous_commit', 'on', true); end if;

  batch := array(
    select row(x.n, x.s, x.q, x.t, x.d, x.a, x.r, x.h, x.c, x.b, x.x)::event
    from rows from (json_to_recordset(p_batch) as
      (s text, q bigint, t text, d text, a bigint, r text, h text, c boolean, b int, x text)) with ordinality
      as x(s, q, t, d, a, r, h, c, b, x, n)
    order by x.n
  );
  fresh := array(
    select row(b.n, b.source, b.seq, b.type, b.delivery, b.at, b.run, b.thread, b.confirm, b.bytes, b.body)::event
    from (
      select *, row_number() over (partition by source, seq order by n) as k from unnest(batch)
    ) b
    where b.k = 1
      and not exists (select from entries x where x.log = u.id and x.source = b.source and x.seq = b.seq)
      and not exists (select from spent x where x.log = u.id and x.source = b.source and x.numbers @> b.seq)
    order by b.n
  );

  if lease = '' then
    if exists (
      select from jsonb_each_text(p->'expected') x left join standings s on s.log = u.id and s.run = x.key
      where s.v is distinct from x.value::bigint
    ) then return jsonb_build_array('changed'); end if;
  elsif lease <> '-' then
    select array_agg(f.run order by f.n) into refused from (
      select distinct on (b.run) b.run, b.n, b.type, b.at, s.state, s.latest
      from unnest(fresh) b join standings s on s.log = u.id and s.run = b.run
      where not (s.state = 'a' and s.lease = p->>'lease') and (s.state = 'l' or me = any(s.barred))
      order by b.run, b.n
    ) f
    where f.type <> '${RunEvents.started}' or f.state <> 'a' and f.at <= f.latest;
    if refused is not null then return jsonb_build_array('lost') || to_jsonb(refused); end if;
  end if;

  added := cardinality(fresh);
  if added > 0 then
    insert into entries (log, off, source, seq, type, delivery, at, run, thread, confirm, bytes, total, took, body)
      select u.id, u.head + row_number() over (order by b.n), b.source, b.seq, b.type, b.delivery, b.at, b.run, b.thread,
        b.confirm, b.bytes, u.total + sum(b.bytes) over (order by b.n), now, b.body
      from unnest(fresh) b;
    if lease <> '-' then
      for e in select * from unnest(fresh) b where b.run is not null order by b.run, b.n loop
        if r_run is distinct from e.run then
          if r_run is not null then
            done_for := stand(u.id, r_run, r_thread, r_kind, r_at, lease, now);
            if done_for is not null then settled := settled || settle(u.name, r_run, done_for, now); end if;
          end if;
          r_run := e.run;
          r_thread := e.thread;
          r_kind := 0;
          r_at := e.at;
        end if;
        if e.type = '${RunEvents.started}' then
          if r_kind < 1 or e.at > r_at then
            r_kind := 1;
            r_at := e.at;
          end if;
        elsif e.type in ('${RunEvents.completed}', '${RunEvents.failed}') then
          r_kind := 2;
          r_at := e.at;
          has_ending := true;
        end if;
      end loop;
      if r_run is not null then
        done_for := stand(u.id, r_run, r_thread, r_kind, r_at, lease, now);
        if done_for is not null then settled := settled || settle(u.name, r_run, done_for, now); end if;
      end if;
    end if;
    if u.folded = u.head then
      select coalesce(min(x.k) filter (where x.run is not null), added + 1) - 1 into leading_count
        from (select b.run, row_number() over (order by b.n) as k from unnest(fresh) b) x;
      u.folded := u.folded + leading_count;
    end if;
    u.head := u.head + added;
    u.total := u.total + (select sum(b.bytes) from unnest(fresh) b);

    new_floor := u.floor;
    new_floor_total := u.floor_total;
    if u.head - (p->>'maxEvents')::bigint > new_floor then
      new_floor := u.head - (p->>'maxEvents')::bigint;
      select x.total into new_floor_total from entries x where x.log = u.id and x.off = new_floor;
    end if;
    if u.total - new_floor_total > (p->>'maxBytes')::bigint then
      select least(x.off, u.head - 1) into new_floor from entries x
        where x.log = u.id and x.off > new_floor and u.total - x.total <= (p->>'maxBytes')::bigint order by x.off limit 1;
      select x.total - x.bytes into new_floor_total from entries x where x.log = u.id and x.off = new_floor + 1;
    end if;
    u.floor := new_floor;
    u.floor_total := new_floor_total;
    update users set head = u.head, total = u.total, floor = u.floor, floor_total = u.floor_total, folded = u.folded,
      touched = now where id = u.id;
  end if;

  if lease = '' then active := (select count(distinct b.run) from unnest(fresh) b);
  elsif has_ending then active := (select count(*) from standings x where x.log = u.id and x.state = 'a'); end if;
  if added > 0 and fresh[added].n = cardinality(batch) then
    place := u.head;
  else
    e := batch[cardinality(batch)];
    select x.off into place from entries x where x.log = u.id and x.source = e.source and x.seq = e.seq;
    place := greatest(coalesce(place, 0), u.floor);
  end if;
  return jsonb_build_array('appended', u.epoch, place, before, u.head, active,
    u.head - u.folded >= ${foldEvery} or u.floor - least(u.folded, u.trimmed) >= ${foldEvery}, settled);
end $$;

-- Looks at a log: nothing where it has to be opened. p: user, epoch and offset that were read up to, maxEvents, maxBytes, runs
-- ('none', 'all', or '=' and one), maxAge. Being stable, all of it sees the same moment.
create function view(p jsonb) returns json language plpgsql stable as $$
declare
  u users;
  first bigint;
  start bigint;
  base bigint;
  reason text := '';
  gap_from bigint := 0;
  wanted bigint := (p->>'maxEvents')::bigint;
  runs text := p->>'runs';
  one_run text;
  entries_out json := '[]';
  states json := '[]';
  tail json := '[]';
begin
  select * into u from users where name = p->>'user';
  if u.id is null or u.lineage <> lineage() then return null; end if;
  select x.off into first from entries x
    where x.log = u.id and x.off > u.floor and x.took > now_ms() - (p->>'maxAge')::bigint order by x.off limit 1;
  first := coalesce(first, u.head + 1);
  start := u.head;
  if wanted > 0 then
    start := (p->>'offset')::bigint;
    if p->>'after' <> u.epoch or start > u.head then
      reason := 'epoch';
      gap_from := 1;
      start := first - 1;
    elsif start + 1 < first then
      reason := 'retention';
      gap_from := start + 1;
      start := first - 1;
    end if;
    select x.total - x.bytes into base from entries x where x.log = u.id and x.off = start + 1;
    select coalesce(json_agg(json_build_array(x.off, x.type, x.delivery, x.at, x.run, x.thread, x.confirm, x.bytes, x.body)
      order by x.off), '[]') into entries_out
    from (
      select * from entries y where y.log = u.id and y.off > start
        and (y.off = start + 1 or y.total <= base + (p->>'maxBytes')::bigint) and y.off <= start + wanted
      order by y.off
    ) x;
  end if;
  if reason <> '' or runs <> 'none' then
    one_run := case when runs like '=%' then substr(runs, 2) end;
    select coalesce(json_agg(json_build_array(x.run, x.state)), '[]') into states
      from folds x where x.log = u.id and (one_run is null or x.run = one_run);
    select coalesce(json_agg(json_build_array(x.off, x.type, x.delivery, x.at, x.run, x.thread, x.confirm, x.bytes, x.body)
      order by x.off), '[]') into tail
      from entries x where x.log = u.id and x.off > u.folded and x.run is not null and (one_run is null or x.run = one_run);
  end if;
  return json_build_array(u.epoch, first, u.head, u.folded, reason, gap_from, entries_out, states, tail);
end $$;

-- Saves runs that were folded up to an offset: changed, runs and states; forgotten, runs.
create function fold(p jsonb, p_changed json) returns jsonb language plpgsql as $$
declare
  u users;
begin
  select * into u from users where name = p->>'user' for update;
  if u.id is null or u.epoch <> p->>'epoch' or u.folded <> (p->>'from')::bigint then return 'false'::jsonb; end if;
  delete from folds x where x.log = u.id and x.run in (select jsonb_array_elements_text(p->'forgotten'));
  insert into folds (log, run, state) select u.id, x->>0, x->>1 from json_array_elements(p_changed) x
    on conflict (log, run) do update set state = excluded.state;
  update users set folded = (p->>'to')::bigint where id = u.id;
  return 'true'::jsonb;
end $$;

-- Deletes some of what was dropped and is folded, and remembers which numbers it had. Gives whether there is more.
create function trim_log(p_log bigint, p_most bigint) returns boolean language plpgsql as $$
declare
  u users;
  up_to bigint;
begin
  select * into u from users where id = p_log for update;
  if u.id is null then return false; end if;
  up_to := least(u.floor, u.folded, u.trimmed + p_most);
  if up_to <= u.trimmed then return false; end if;
  with gone as (
    delete from entries x where x.log = u.id and x.off > u.trimmed and x.off <= up_to returning x.source, x.seq, x.off
  ), sets as (
    select g.source, range_agg(int8range(g.seq, g.seq, '[]')) as numbers, max(g.off) as last from gone g group by g.source
  )
  insert into spent (log, source, numbers, last) select u.id, s.source, s.numbers, s.last from sets s
    on conflict (log, source) do update set numbers = spent.numbers + excluded.numbers, last = excluded.last;
  update users set trimmed = up_to where id = u.id;
  delete from spent s where s.log = u.id and s.source in (
    select x.source from spent x
    where x.log = u.id and not exists (select from entries y where y.log = u.id and y.source = x.source)
    order by x.last desc offset ${maxSpentSources}
  );
  update spent s set numbers = (
    select range_agg(r) from (select r from unnest(s.numbers) r order by r desc limit ${maxRanges}) x
  ) where s.log = u.id and (select count(*) from unnest(s.numbers)) > ${maxRanges};
  return up_to < least(u.floor, u.folded);
end $$;

create function trim_user(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
begin
  select id into found_log from users where name = p->>'user';
  if found_log is null then return 'false'::jsonb; end if;
  perform forget_standings(found_log, (p->>'ttl')::bigint);
  return to_jsonb(trim_log(found_log, (p->>'most')::bigint));
end $$;

-- Forgets runs that ended once they are too many: all but the latest half; of those that were lost or bar a process, and none of
-- which can be among them, those that their log has outlived.
create function forget_standings(p_log bigint, p_ttl bigint) returns void language plpgsql as $$
begin
  if (select count(*) from standings s where s.log = p_log and s.state <> 'a') <= ${maxEndedRuns} then return; end if;
  perform from users where id = p_log for update;
  delete from standings s where s.log = p_log and s.state <> 'a' and (
    s.run in (
      select x.run from standings x where x.log = p_log and x.state = 'e' and x.barred = '{}'
      order by x.noted desc offset ${maxEndedRuns / 2}
    ) or (s.state = 'l' or s.barred <> '{}') and s.noted < now_ms() - p_ttl
  );
end $$;
`

/**
 * What makes the functions that keep the runs which a process has, and that look after users, or makes them anew.
 *
 * @category constants
 * @since 0.2.0
 */
export const keeping = `
-- Looks after some users past an id: drops what is too old, and forgets who has nothing, and nobody that reads. Who needs none of
-- it is not locked. Gives the id to go on from, or 0, and the users of whom something is to be folded before it can be deleted.
create or replace function sweep(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  last bigint := 0;
  seen int := 0;
  now bigint := now_ms();
  age bigint := (p->>'maxAge')::bigint;
  ttl bigint := (p->>'ttl')::bigint;
  most int := (p->>'users')::int;
  new_floor bigint;
  due jsonb := '[]';
begin
  if not pg_try_advisory_xact_lock(hashtext(current_schema() || '.sweep')) then return jsonb_build_array(0, '[]'::jsonb); end if;
  if (p->>'after')::bigint = 0 then
    delete from outcomes x where ctid = any(array(select y.ctid from outcomes y where y.at < now - ${
  2 * Command.outcomeMemoryMs
} limit 1000));
    delete from commands x where x.till < now - ${2 * Command.outcomeMemoryMs};
    delete from revocations x where x.until < now;
    delete from late x where x.until < now;
    delete from readers x where x.until < now;
    delete from claims x where not exists (select from leases y where y.lease = x.lease and y.state = 'a');
    delete from mailbox x where not exists (select from leases y where split_part(y.lease, '.', 1) = x.process and y.state = 'a');
    delete from leases x where x.state = 'g' and x.count < (select max(y.count) from leases y) - 100000;
  end if;
  for u in select * from users x where x.id > (p->>'after')::bigint order by x.id limit most loop
    last := u.id;
    seen := seen + 1;
    continue when u.touched >= now - ttl and u.trimmed >= u.floor
      and not exists (select from entries x where x.log = last and x.off = u.floor + 1 and x.took <= now - age);
    select * into u from users x where x.id = last for update skip locked;
    continue when not found;
    select x.off - 1 into new_floor from entries x
      where x.log = u.id and x.off > u.floor and x.took > now - age order by x.off limit 1;
    new_floor := coalesce(new_floor, u.head);
    if u.folded < new_floor and not exists (select from entries x where x.log = u.id and x.off > u.folded and x.run is not null) then
      u.folded := u.head;
      update users set folded = u.head where id = u.id;
    end if;
    if new_floor > u.floor then
      update users set floor = new_floor,
        floor_total = coalesce((select x.total from entries x where x.log = u.id and x.off = new_floor), u.total)
        where id = u.id;
    end if;
    if new_floor = u.head and u.touched < now - ttl
      and not exists (select from standings x where x.log = u.id and x.state = 'a')
      and not exists (select from readers x where x.name = u.name and x.until > now) then
      delete from entries x where x.log = u.id;
      delete from spent x where x.log = u.id;
      delete from folds x where x.log = u.id;
      delete from standings x where x.log = u.id;
      delete from acks x where x.name = u.name;
      delete from users x where x.id = u.id;
    else
      perform trim_log(u.id, 1000);
      if u.folded < new_floor then due := due || to_jsonb(u.name); end if;
    end if;
  end loop;
  return jsonb_build_array(case when seen < most then 0 else last end, due);
end $$;

-- Renews a log whose runs are active, and writes where they stand anew where it is another than the one that knew of them. p:
-- user, epoch, lease, runs (run, thread, started, epoch, state). Gives the log, which runs take nothing more of this process, and
-- which are others'.
create or replace function keep(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  r record;
  me text := split_part(p->>'lease', '.', 1);
  s standings;
  is_saved boolean := false;
  shut jsonb := '[]';
  others jsonb := '[]';
begin
  u := opened(p->>'user', p->>'epoch');
  update users set touched = now_ms() where id = u.id;
  for r in select * from jsonb_to_recordset(p->'runs') as (run text, thread text, started bigint, epoch text, state text) loop
    select * into s from standings x where x.log = u.id and x.run = r.run;
    if s.run is null and r.epoch = u.epoch then
      -- The log knew it once: what it does not know any more has ended, though this process was not answered that.
      others := others || to_jsonb(r.run);
    elsif s.run is null then
      insert into standings (log, run, state, lease, thread, started, home)
        values (u.id, r.run, 'a', p->>'lease', r.thread, r.started, me);
    elsif not (s.state = 'a' and s.lease = p->>'lease') and (s.state = 'l' or me = any(s.barred)) then
      shut := shut || to_jsonb(r.run);
    elsif s.state <> 'a' or split_part(s.lease, '.', 1) <> me then
      others := others || to_jsonb(r.run);
    end if;
    if r.epoch <> u.epoch and (s.run is null or s.state = 'a')
      and not exists (select from folds x where x.log = u.id and x.run = r.run)
      and not exists (select from entries x where x.log = u.id and x.off > u.folded and x.run = r.run) then
      insert into folds (log, run, state) values (u.id, r.run,
        '{"since":' || u.folded || ',"offset":' || u.folded || ',"state":' || r.state || '}');
      is_saved := true;
    end if;
  end loop;
  if is_saved then update users set epoch = p->>'epoch', opened = now_ms() where id = u.id returning * into u; end if;
  return jsonb_build_array(u.epoch, u.head, shut, others, is_saved);
end $$;
`
