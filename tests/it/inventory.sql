-- One of every kind of object, on every major from 14 to 18, with names that need quotes.
create schema "Odd ""s""";
create schema x;
create extension hstore schema x;
create extension postgres_fdw schema x;
create type x.mood as enum ('sad', 'ok', 'happy');
alter type x.mood add value 'so "so"' before 'ok';
create type x.pair as (a int, b text collate "C");
create domain x.positive as numeric(10, 2) default 1 not null constraint above_zero check (value > 0);
create type x.floats as range (subtype = float8, subtype_diff = float8mi);
create collation x.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create conversion x.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create sequence x.loose increment by 5 maxvalue 1000 cycle;
select setval('x.loose', 42);
create table x.parent (id int primary key, note text not null);
create table x.orders (
  id bigint generated always as identity primary key,
  parent_id int not null constraint to_parent references x.parent deferrable initially deferred,
  mood x.mood default 'ok', price x.positive, pair x.pair, "Odd ""c"".name" text collate "C",
  twice numeric generated always as (price * 2) stored, tags text[] default '{}', at timestamptz default now(),
  during x.floats, attributes x.hstore, old_serial serial,
  constraint price_limit check (price < 1000), constraint no_overlap exclude using gist (during with &&), unique (parent_id, mood));
alter table x.orders drop column at;
alter table x.orders add column last int;
alter table x.orders alter tags set storage external, alter mood set statistics 77, alter tags set compression pglz;
alter table x.orders add constraint later check (last > 0) not valid;
create index orders_expr on x.orders using btree (lower("Odd ""c"".name") desc nulls last) include (last) where last > 3;
alter index x.orders_expr alter column 1 set statistics 33;
create index orders_tags on x.orders using gin (tags) with (fastupdate = off);
alter table x.orders cluster on orders_pkey;
create table "Odd ""s"""."T""
.x" ("a b" int);
create unlogged table x.unlogged (id int) with (fillfactor = 70, autovacuum_enabled = off);
create table x.full_identity (id int); alter table x.full_identity replica identity full;
create table x.with_index (id int not null unique); alter table x.with_index replica identity using index with_index_id_key;
create table x.child (extra int) inherits (x.parent);
create table x.typed of x.pair;
create table x.parts (id int, at date not null, primary key (id, at)) partition by range (at);
create table x.parts_2024 partition of x.parts for values from ('2024-01-01') to ('2025-01-01');
create table x.parts_rest partition of x.parts default;
create index parts_at on x.parts (at);
create table x.refs (id int, at date, foreign key (id, at) references x.parts);
create view x.v with (security_barrier) as select id, note from x.parent where id > 0 with local check option;
create materialized view x.mv as select count(*) as n from x.parent;
create unique index mv_n on x.mv (n);
create function x.add(a int, b int default 2) returns int language sql immutable strict parallel safe cost 7 as 'select a + b';
create function x.modern(a int) returns int language sql begin atomic select a + 1; end;
create function x.trg() returns trigger language plpgsql security definer set search_path = x as $$ begin return new; end $$;
create function x.evt() returns event_trigger language plpgsql as $$ begin end $$;
create procedure x.proc(inout a int) language plpgsql as $$ begin a := a + 1; end $$;
create aggregate x.total (int) (sfunc = int4pl, stype = int, initcond = '0');
create operator x.<+> (leftarg = int, rightarg = int, function = x.add, commutator = operator(x.<+>));
create operator class x.int_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 btint4cmp(int, int);
create function x.pair_text(x.pair) returns text language sql immutable as 'select ($1).b';
create cast (x.pair as text) with function x.pair_text(x.pair) as assignment;
create trigger audit before insert or update of last on x.orders for each row when (new.last > 1) execute function x.trg();
create trigger parts_audit after insert on x.parts for each row execute function x.trg();
create event trigger watch on ddl_command_end when tag in ('CREATE TABLE') execute function x.evt();
alter event trigger watch disable;
create rule nothing as on delete to x.unlogged do instead nothing;
alter table x.orders enable row level security;
create policy mine on x.orders for select to public using (id > 0);
create statistics x.stat (dependencies, ndistinct) on parent_id, last from x.orders;
create text search dictionary x.dict (template = simple, accept = false);
create text search configuration x.conf (copy = simple);
alter text search configuration x.conf alter mapping for word with x.dict;
create server remote foreign data wrapper postgres_fdw options (host 'nowhere', dbname 'd');
create user mapping for public server remote options (user 'u', password 'planted-secret');
create foreign table x.ft (id int options (column_name 'i')) server remote options (table_name 't');
create publication pub for table x.parent, x.orders with (publish = 'insert, update');
alter default privileges in schema x grant select on tables to public;
grant select (id), insert on x.parent to public;
grant usage on schema x to public;
revoke execute on function x.add(int, int) from public;
comment on table x.parent is 'parents';
comment on column x.parent.note is 'a note';
comment on constraint to_parent on x.orders is 'points up';
comment on function x.add(int, int) is 'adds';
comment on extension hstore is 'our hstore';
select lo_from_bytea(4711, 'abc');
comment on large object 4711 is 'a large object';
do $$ begin execute format('alter database %I set work_mem = ''5MB''', current_database()); end $$;
