-- Where a consumer stands in another service's feed, in the words of that service: moved in the transaction of the
-- effect. It takes the place of `feed_cursors`, which nothing used: places are opaque to whoever keeps them.
DROP TABLE feed_cursors;
CREATE TABLE feed_places (
    consumer     TEXT NOT NULL PRIMARY KEY,
    resume_token TEXT NOT NULL
) STRICT;
