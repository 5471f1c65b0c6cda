-- Store events become subscription lines, purchases and points.

-- An event may name no product, and a refund may come before the purchase that it is about.
alter table store_purchases alter column product_id drop not null;

-- Months that begin before this instant were paid elsewhere (by the server that this one took over from).
alter table store_purchases add column months_paid_before timestamptz;

create index ix_store_purchases_refunded on store_purchases (id) where is_refunded;
create index ix_store_purchases_unpaid_packs on store_purchases (user_id) where kind = 'pack' and points is null;

-- By hash: a store may send an id longer than a B-tree's entry.
create index ix_webhook_events_transaction on webhook_events using hash ((fields ->> 'transaction_id'));
create index ix_webhook_events_purchase on webhook_events (purchase_id) where purchase_id is not null;
create index ix_webhook_events_transfers on webhook_events (id) where event_type = 'TRANSFER';

create index ix_users_subscription_ended on users (subscription_expires_at) where subscription_will_renew;
