//! Pages (AIP-158): a token remembers where the last page ended and for which query, and nothing else.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use crate::{Error, Result};

/// A place in a listing ordered by a number (a time, a sequence) and then by a text (an id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// First column of the order.
    pub number: i64,
    /// Second column of the order.
    pub text: String,
}

/// The page that a request asks for.
#[derive(Debug, Clone)]
pub struct Page {
    /// Rows at the most.
    pub size: usize,
    /// Where the previous page ended; `None` for the first.
    pub after: Option<Key>,
    query: Vec<u8>,
}

/// Bytes of the query's digest that a token carries: enough to tell queries apart, not a secret.
const QUERY_DIGEST_BYTES: usize = 16;

impl Page {
    /// Reads `page_size` (0 is `default`; more than `max` is `max`) and `page_token`. `query` is the request with its
    /// page size and token cleared: a token is good for that query only.
    ///
    /// # Errors
    /// [`Error::PageToken`] when the token is not ours or is another query's. A negative size is the caller's to
    /// refuse as a field violation, through [`Page::size_is_valid`].
    pub fn parse(page_size: i32, page_token: &str, limits: PageLimits, query: &impl Message) -> Result<Self> {
        let size = match usize::try_from(page_size) {
            Ok(0) | Err(_) => limits.default,
            Ok(size) => size.min(limits.max),
        };
        let hash = digest::digest(&digest::SHA256, &query.encode_to_vec());
        let query: Vec<u8> = hash.as_ref().iter().copied().take(QUERY_DIGEST_BYTES).collect();
        let after = if page_token.is_empty() {
            None
        } else {
            Some(decode(page_token, &query)?)
        };
        Ok(Self { size, after, query })
    }

    /// Whether a page size is one that may be asked for.
    pub fn size_is_valid(page_size: i32) -> bool {
        page_size >= 0
    }

    /// Rows to fetch: one more than the page, to know whether another follows.
    pub fn fetch_limit(&self) -> i64 {
        i64::try_from(self.size).unwrap_or(i64::MAX - 1) + 1
    }

    /// Cuts `rows`, fetched with [`Page::fetch_limit`], to the page, and gives the next page's token: empty at the end.
    pub fn cut<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> Key) -> (Vec<T>, String) {
        if rows.len() <= self.size {
            return (rows, String::new());
        }
        rows.truncate(self.size);
        let token = rows.last().map(|row| self.encode(&key(row))).unwrap_or_default();
        (rows, token)
    }

    fn encode(&self, key: &Key) -> String {
        let bytes = [self.query.as_slice(), &key.number.to_be_bytes(), key.text.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// How many rows a page has when nothing is asked, and at the most.
#[derive(Debug, Clone, Copy)]
pub struct PageLimits {
    /// When `page_size` is 0.
    pub default: usize,
    /// Whatever `page_size` says.
    pub max: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self { default: 50, max: 500 }
    }
}

fn decode(token: &str, query: &[u8]) -> Result<Key> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageToken)?;
    let (of_query, rest) = bytes.split_at_checked(QUERY_DIGEST_BYTES).ok_or(Error::PageToken)?;
    let (number, text) = rest.split_first_chunk::<8>().ok_or(Error::PageToken)?;
    if of_query != query {
        return Err(Error::PageToken);
    }
    let text = String::from_utf8(text.to_vec()).map_err(|_| Error::PageToken)?;
    Ok(Key {
        number: i64::from_be_bytes(*number),
        text,
    })
}
