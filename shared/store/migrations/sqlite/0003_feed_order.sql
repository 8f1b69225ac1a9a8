-- Whoever reads a whole feed reads it in order, from its place on, and not what other feeds tell.
CREATE INDEX outbox_by_feed ON outbox (feed, position);
