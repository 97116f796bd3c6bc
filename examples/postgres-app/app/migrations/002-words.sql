-- Null until the worker has counted them.
alter table entries add column words integer;
create index on entries (id) where words is null;
