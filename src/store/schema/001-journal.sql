-- The journal of one migration. Times are microseconds since 1970-01-01 UTC. No table ever holds a secret or a row value.

create table meta (
    key   text primary key,
    value text not null
) strict, without rowid;

-- What happened, in order. `json` is the event without its index and its time.
create table events (
    "index" integer primary key,
    at      integer not null,
    json    text not null
) strict;

-- The values of steps that are done once and for all.
create table steps (
    id    text primary key,
    value text not null
) strict, without rowid;

-- The progress, once a second, for charts.
create table samples (
    at    integer primary key,
    rows  integer not null,
    bytes integer not null
) strict;
