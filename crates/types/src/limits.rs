//! Every limit of the system, with what it guards.
//!
//! A limit is checked where bytes or text enter; code behind that point may rely on it.

/// The longest SQL statement, in bytes. The parser recurses; its depth is bounded by this and by
/// [`EXPRESSION_DEPTH`].
pub const STATEMENT_BYTES: usize = 1 << 20;
/// Statements of a request: each is a syntax tree of some KiB before the first of them runs.
pub const STATEMENTS: usize = 16_384;

/// The deepest nesting of an expression or a query.
pub const EXPRESSION_DEPTH: usize = 64;

/// The commits of a store's log that stay: enough to replay, and to compare the rows with, what the last hours or minutes have
/// changed. The rows need none of them; without an end the log would fill the disk.
pub const LOG_COMMITS: u64 = 10_000;

/// Conflicts that are kept in `deltaic.conflicts` after they were decided or resolved; the oldest go first.
pub const CONFLICTS: usize = 10_000;

/// The values of a column that stand beside each other: a late write that would add another replaces them all.
pub const VALUES_BESIDE: usize = 64;

/// The longest single value as encoded: a document, not a file.
pub const VALUE_BYTES: usize = 8 << 20;

/// The longest row as encoded. A commit holds rows; a poke holds commits.
pub const ROW_BYTES: usize = 16 << 20;

/// The most columns of a table, and of a result.
pub const COLUMNS: usize = 1_000;

/// The most rows one statement may write: a batch above it is split by the client.
pub const STATEMENT_ROWS: usize = 1_000_000;

/// The most that one request may consume of budgets, one by one.
pub const CONSUMED: usize = 10_000;

/// The most parameters of a statement: a bulk INSERT of some hundred rows.
pub const PARAMETERS: usize = 16_384;

/// The most claims of a session, and that one statement reads: a token holds a dozen or two.
pub const CLAIMS: usize = 100;

/// The bytes of a session's claims, names and values: they are kept with every connection.
pub const CLAIMS_BYTES: usize = 16 << 10;

/// The most relations one query joins.
pub const JOIN_INPUTS: usize = 16;

/// The longest name of a table, column or index: PostgreSQL's 63.
pub const NAME_BYTES: usize = 63;

/// The most digits of a numeric, on either side of the point.
pub const NUMERIC_DIGITS: u64 = 16_384;

/// The deepest nesting of a JSON value or an array.
pub const NESTING: usize = 128;

/// The longest body of an HTTP request: a statement with a large value as a parameter.
pub const REQUEST_BYTES: usize = 16 << 20;

/// The longest WebSocket message that a client may send: a query with its parameters.
pub const FRAME_BYTES: usize = 4 << 20;

/// The longest cookie: two numbers in hexadecimal and a decimal between them, with room.
pub const COOKIE_BYTES: usize = 128;

/// The rows that the joins of one query may visit when it is first computed, so that a join without a condition
/// between large tables is refused and not computed.
pub const JOINED_ROWS: u64 = 5_000_000;

/// The rows that they may visit before the next commit: a query that visits more is computed beside the commits.
pub const SLICE_VISITS: u64 = 100_000;

/// The rows that a request may write before the next one: one that writes more is run beside the commits.
pub const SLICE_WRITES: usize = 5_000;

/// The bytes of the rows that a request may make, and of those that it may read and write whole, before the next one.
pub const SLICE_BYTES: u64 = 4 << 20;

/// The bytes of the rows that one computation makes, those on the way to its result among them. Values that rows share are
/// counted for each.
pub const COMPUTED_BYTES: u64 = 2 << 30;

/// The rounds of a recursion: longer than any hierarchy and than most chains. A recursion without end does so many
/// rounds of a few microseconds before it is an error.
pub const RECURSION_ROUNDS: u32 = 10_000;

/// The rows that a recursion may have, for one tuple of parameters, and still begin another round: the pairs of a
/// thousand nodes.
pub const RECURSION_ROWS: i64 = 1_000_000;

/// The bytes of one result, live or asked once: it is held in memory, and sent whole to who asks for it.
pub const VIEW_BYTES: usize = 256 << 20;

/// The bytes of all live results of an engine, and of what it keeps to compute them.
pub const VIEWS_BYTES: usize = 2 << 30;

/// The bytes of the live results that nobody watches.
pub const IDLE_BYTES: usize = 256 << 20;

/// Live queries without subscribers that are kept for those who come back; beyond it the oldest go.
pub const IDLE_VIEWS: usize = 1_000;

/// The most live queries of one connection.
pub const SUBSCRIPTIONS: usize = 1_000;

/// The bytes that may wait for a client that reads slowly. One that lets more pile up is cut off: it comes
/// back with its cookies and receives the difference.
pub const QUEUED_BYTES: usize = 4 << 20;

/// The messages that may wait for a client, which bounds what small ones cost beside their bytes.
pub const QUEUED_MESSAGES: usize = 10_000;

/// The connections of a server; one more waits until another ends. Each takes a file descriptor.
pub const CONNECTIONS: usize = 10_000;

/// The requests that wait for the engine; one more waits in its connection.
pub const QUEUED_REQUESTS: usize = 1_024;

/// The rows that a live query's tables have at most where it is computed between two commits, and those that a request may
/// read from end to end. A larger one is computed beside them.
pub const SLICE_ROWS: usize = 20_000;

/// The work, in probes and rows as the circuit breaker counts it, of a commit that is brought to the live queries before the
/// next one. More is done beside the commits behind it.
pub const SLICE_UNITS: u64 = 100_000;

/// The actors of a cut or a context that comes from outside: servers and edge replicas, those that have retired among them.
pub const ACTORS: usize = 65_536;

/// The intervals of a context that comes from outside: one an actor where nothing is missing.
pub const INTERVALS: usize = 1 << 20;

/// The bytes of a delta between two replicas.
pub const DELTA_BYTES: usize = 256 << 20;

/// The participants of a market, those that left among them: what they left is remembered.
pub const PARTICIPANTS: usize = 1 << 20;

/// The slots of one participant on one side of a market.
pub const SLOTS: usize = 1_000;

/// The participants that one recognises.
pub const RECOGNISED: usize = 10_000;

/// The filters of a slot, and the attributes of a participant: each is looked at for each edge.
pub const FILTERS: usize = 16;

/// The participants that one filter names, and those to whom one participant guarantees something.
pub const NAMED: usize = 1_000;

/// The edges of a market between capacities and needs: some 400 bytes each.
pub const EDGES: usize = 1 << 20;

/// The acceptances of a market, and its holds.
pub const RESERVATIONS: usize = 1 << 20;

/// The radius around a place, in metres: half the way around the Earth.
pub const RADIUS_METRES: u32 = 20_000_000;
