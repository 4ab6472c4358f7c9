create function shop.touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger customers_touch before update of email, name, preferences, credit on shop.customers for each row when (old.updated_at is not distinct from new.updated_at) execute function shop.touch();

create function shop.reserve_stock() returns trigger language plpgsql set search_path = shop, pg_temp as $$
begin
  update inventory set reserved = least(reserved + new.quantity, on_hand) where product_id = new.product_id;
  return null;
end $$;
create trigger order_items_reserve after insert on shop.order_items for each row execute function shop.reserve_stock();

create view shop.order_overview as
  select o.id, o.number, c.name as customer, o.status, o.placed_at, o.total, count(i.*) as lines, sum(i.line_total) as lines_total
  from shop.orders o join shop.customers c on c.id = o.customer_id left join shop.order_items i on i.order_id = o.id
  group by o.id, c.name;
create view shop.active_products with (security_barrier) as select * from shop.products where active with check option;
create view "Back Office"."Sales by country" as
  select a.country as "Country", sum(o.total) as "Σ total" from shop.orders o join shop.addresses a on a.id = o.ship_to group by a.country;

create materialized view shop.monthly_sales as
  select date_trunc('month', placed_at at time zone 'UTC') as month, status, count(*) as orders, sum(total) as total from shop.orders group by 1, 2;
create unique index monthly_sales_key on shop.monthly_sales (month, status);
create materialized view shop.best_sellers as
  select p.id, p.name, sum(i.quantity) as sold from shop.order_items i join shop.products p on p.id = i.product_id group by p.id order by sold desc limit 1000;

create function shop.customer_value(customer bigint) returns numeric language sql stable
begin atomic
  select coalesce(sum(total), 0) from shop.orders where customer_id = customer;
end;
create procedure shop.refresh_reports() language plpgsql as $$
begin
  refresh materialized view shop.monthly_sales;
  refresh materialized view shop.best_sellers;
end $$;
create publication shop_feed for table shop.orders, shop.order_items;
comment on table shop.events is 'What customers did, a partition for each month.';
comment on column shop.customers.credit is 'in euro';
comment on function shop.pick(bigint, bigint, bigint) is 'Makes the demo the same every time.';
