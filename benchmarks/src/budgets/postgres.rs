//! Admission over a real PostgreSQL on loopback: as many as can be, and how long each takes when they come at a rate.
//!
//! Every way gates with the limit in the database or under a lease from it, and every answer that admits is covered by what
//! the server has synced. Invariant: what was admitted is held against the rows of the database at the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::{
    Answer, Budgets, Handle, Input, Key, Ledger, LedgerError, NodeId, Policy, PolicyId, Reason, Reply,
    RequestId, Seq, Time, Units,
};
use postgres::Client;

use super::far;
use super::grouped;
use super::open_loop::{Schedule, percentiles};
use super::server::Server;
use super::world::{Random, key};

const CONNECTIONS: usize = 16;
const KEYS: u64 = 1_000;
const LENGTH: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const TICK: Duration = Duration::from_millis(10);
/// Batches of a node that may be under way together.
const DEPTHS: [usize; 2] = [1, 4];
/// Another machine, in another town.
const FAR: Duration = Duration::from_millis(5);
const FAR_KEYS: u64 = 100_000;
/// Requests that may wait for the ledger at once, where as many come as can.
const WAITING: u64 = 1_024;
/// More than can be admitted in a run; one request in a thousand asks for more than this.
const LIMIT: i64 = 1 << 40;

pub(super) fn run() {
    let Some(server) = Server::start() else {
        println!("PostgreSQL is not installed");
        return;
    };
    println!("{}; {CONNECTIONS} connections, {KEYS} keys or one.\n", Server::describe());
    Server::client()
        .batch_execute(
            "CREATE TABLE quota (key text PRIMARY KEY, used bigint NOT NULL, most bigint NOT NULL, CHECK (used <= most))",
        )
        .expect("the table is made");
    capacity();
    answers();
    from_afar();
    drop(server);
}

const HOT: &str = "UPDATE quota SET used = used + $2 WHERE key = $1 AND used + $2 <= most";
const UPSERT: &str = "INSERT INTO quota AS q (key, used, most) VALUES ($1, $2, 1099511627776) \
    ON CONFLICT (key) DO UPDATE SET used = q.used + $2 WHERE q.used + $2 <= q.most";

/// One way of asking the database for each request.
#[derive(Debug, Clone, Copy)]
struct Sql {
    name: &'static str,
    text: &'static str,
    keys: u64,
}

const WAYS: [Sql; 2] = [
    Sql { name: "UPDATE of one row, a request a statement", text: HOT, keys: 1 },
    Sql { name: "upsert of 1,000 rows, a request a statement", text: UPSERT, keys: KEYS },
];

impl Sql {
    fn prepare(self) {
        let mut client = Server::client();
        client.batch_execute("TRUNCATE quota").expect("the table is there");
        if self.keys == 1 {
            client.execute("INSERT INTO quota VALUES ('user-000000', 0, $1)", &[&LIMIT]).expect("a row");
        }
    }

    fn ask(
        self,
        client: &mut Client,
        statement: &postgres::Statement,
        number: u64,
        random: &mut Random,
    ) -> bool {
        let name = format!("user-{:06}", random.below(self.keys));
        let units: i64 = if number % 1_000 == 999 { LIMIT + 1 } else { 1 };
        // An upsert of a new key has nothing to compare with.
        if self.keys > 1 && units > LIMIT {
            return false;
        }
        client.execute(statement, &[&name, &units]).expect("the server answers") == 1
    }

    fn used() -> u64 {
        let row = Server::client().query_one("SELECT coalesce(sum(used), 0)::bigint FROM quota", &[]);
        row.expect("the table is there").get::<_, i64>(0) as u64
    }

    /// As fast as it goes, all connections at once.
    fn as_fast_as_it_goes(self) -> Done {
        self.prepare();
        let (admitted, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..CONNECTIONS as u64 {
                let (admitted, is_over) = (&admitted, &is_over);
                scope.spawn(move || {
                    let mut client = Server::client();
                    let statement = client.prepare(self.text).expect("the statement is fine");
                    let mut random = Random(thread);
                    for number in 0.. {
                        if is_over.load(Ordering::Relaxed) || begun.elapsed() > LENGTH {
                            break;
                        }
                        if self.ask(&mut client, &statement, number, &mut random) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let admitted = admitted.into_inner();
        let over = admitted.saturating_sub(Self::used());
        Done {
            rate: admitted as f64 / begun.elapsed().as_secs_f64(),
            admitted,
            over,
            rows: admitted,
            calls: admitted,
            exposure: 0,
        }
    }

    fn at_a_rate(self, rate: f64) -> (Done, Vec<Duration>) {
        self.prepare();
        let times = Mutex::new(Vec::new());
        let admitted = AtomicU64::new(0);
        let clients: Vec<Client> = (0..CONNECTIONS).map(|_| Server::client()).collect();
        let schedule = Schedule::new(rate, LENGTH);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for (thread, mut client) in clients.into_iter().enumerate() {
                let (schedule, times, admitted) = (&schedule, &times, &admitted);
                scope.spawn(move || {
                    let statement = client.prepare(self.text).expect("the statement is fine");
                    let (mut random, mut mine) = (Random(thread as u64), Vec::new());
                    while let Some(number) = schedule.take() {
                        if self.ask(&mut client, &statement, number, &mut random) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                        mine.push(schedule.since(number));
                    }
                    times.lock().expect("nobody panics with the lock").extend(mine);
                });
            }
        });
        let admitted = admitted.into_inner();
        let over = admitted.saturating_sub(Self::used());
        let rate = admitted as f64 / begun.elapsed().as_secs_f64();
        let done = Done { rate, admitted, over, rows: admitted, calls: admitted, exposure: 0 };
        (done, times.into_inner().expect("nobody panics with the lock"))
    }
}

/// What was done in a run.
#[derive(Debug, Clone, Copy)]
struct Done {
    /// Admitted a second.
    rate: f64,
    admitted: u64,
    /// Admitted and not in the database.
    over: u64,
    rows: u64,
    calls: u64,
    exposure: u64,
}

/// How a node speaks to its ledger: to which port, and with how many batches under way together.
#[derive(Debug, Clone, Copy)]
struct Way {
    port: u16,
    depth: usize,
}

impl Way {
    fn near(depth: usize) -> Self {
        Self { port: Server::PORT, depth }
    }
}

/// A node, its ledger in the database, and a thread that drives both.
struct Ours {
    schema: String,
    node: Budgets,
    policy: PolicyId,
    ledger: PostgresLedger,
    say: Sender<Word>,
    words: Receiver<Word>,
    exposure: u64,
}

/// What the thread is told.
enum Word {
    Ask(u64, Key),
    Replied(Seq, Result<Reply, LedgerError>),
    Stop,
}

impl Ours {
    fn new(schema: &str, Way { port, depth }: Way) -> Self {
        let settings = Settings::parse(&Server::address_by(port)).expect("the address is one").schema(schema);
        let mut ledger =
            PostgresLedger::connect(settings.expect("the schema has a name")).expect("it connects");
        let mut node = Budgets::new(NodeId(1));
        node.set_depth(depth);
        let policy = node.declare(Policy::stock(Units(LIMIT as u64)));
        let opened = ledger.open(NodeId(1)).expect("the node opens");
        let effects = node.step(Time(0), Input::Opened(opened));
        assert!(effects.send.is_empty());
        let (say, words) = channel();
        Self { schema: schema.to_owned(), node, policy, ledger, say, words, exposure: 0 }
    }

    /// A step, and what is to be sent is.
    fn step(&mut self, begun: Instant, input: Input, answer: &mut impl FnMut(RequestId, Answer)) {
        let now = Time(begun.elapsed().as_millis() as u64);
        let mut effects = self.node.step(now, input);
        effects.replies.drain(..).for_each(|(request, given)| answer(request, given));
        for batch in effects.send {
            let (seq, say) = (batch.seq, self.say.clone());
            let done = move |outcome| drop(say.send(Word::Replied(seq, outcome)));
            self.ledger.begin(batch, Box::new(done));
        }
    }

    /// Whether somebody says that it is over.
    fn hear(&mut self, begun: Instant, word: Word, answer: &mut impl FnMut(RequestId, Answer)) -> bool {
        match word {
            Word::Ask(request, key) => {
                let (policy, units) = (self.policy, Units(1));
                let ask = Input::Consume { request: RequestId(request), policy, key, units };
                self.step(begun, ask, answer);
            }
            Word::Replied(seq, outcome) => self.step(begun, Input::Replied(seq, outcome), answer),
            Word::Stop => return true,
        }
        false
    }

    /// Ticks every ten milliseconds.
    fn drive(&mut self, begun: Instant, mut answer: impl FnMut(RequestId, Answer)) {
        let (mut looked, mut ticked) = (Instant::now(), Instant::now());
        let mut is_over = false;
        while !is_over || self.node.is_waiting() {
            let rest = TICK.saturating_sub(ticked.elapsed());
            if let Ok(word) = self.words.recv_timeout(rest) {
                is_over |= self.hear(begun, word, &mut answer);
            }
            if ticked.elapsed() >= TICK {
                self.step(begun, Input::Tick, &mut answer);
                ticked = Instant::now();
            }
            if looked.elapsed() > Duration::from_millis(500) {
                self.exposure = self.exposure.max(self.node.metrics().wrong_at_most.under.0);
                looked = Instant::now();
            }
        }
    }

    /// Settles and ends; what the database says was spent.
    fn close(mut self, begun: Instant) -> (u64, u64, u64, u64) {
        self.step(begun, Input::Close, &mut |_, _| {});
        while self.node.is_waiting() {
            let word = self.words.recv().expect("the node says what it hears");
            self.hear(begun, word, &mut |_, _| {});
        }
        let metrics = self.node.metrics();
        let used = format!("SELECT coalesce(sum(used), 0)::bigint FROM \"{}\".accounts", self.schema);
        let used =
            Server::client().query_one(&used, &[]).expect("the table is there").get::<_, i64>(0) as u64;
        (used, metrics.rows, metrics.batches, self.exposure)
    }
}

/// Two threads ask as fast as it goes.
fn ours_as_fast_as_it_goes(schema: &str, keys: u64, way: Way) -> Done {
    let mut ours = Ours::new(schema, way);
    let begun = Instant::now();
    let say = ours.say.clone();
    let waiting = AtomicU64::new(0);
    let handles: Vec<Handle> =
        (0..keys).map(|number| ours.node.handle(Time(0), ours.policy, &key(number))).collect();
    let admitted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let (mut handles, say, waiting) = (handles.clone(), say.clone(), &waiting);
                scope.spawn(move || {
                    let (mut random, mut admitted) = (Random(thread), 0);
                    for number in 0_u64.. {
                        if number % 64 == 0 && begun.elapsed() > LENGTH {
                            break;
                        }
                        let place = random.below(keys) as usize;
                        let units = if number % 1_000 == 999 { LIMIT as u64 + 1 } else { 1 };
                        let now = Time(begun.elapsed().as_millis() as u64);
                        match handles[place].try_consume(now, Units(units)).map(drop) {
                            Ok(()) => admitted += 1,
                            Err(refusal) if refusal.reason == Reason::Lease => {
                                // It waits, and others come meanwhile, up to so many.
                                while waiting.load(Ordering::Relaxed) >= WAITING && begun.elapsed() < LENGTH {
                                    std::thread::yield_now();
                                }
                                waiting.fetch_add(1, Ordering::Relaxed);
                                say.send(Word::Ask(0, key(place as u64))).expect("the driver listens");
                            }
                            Err(_) => {}
                        }
                    }
                    admitted
                })
            })
            .collect();
        let ours = &mut ours;
        let waiting = &waiting;
        let driver = scope.spawn(move || {
            let mut admitted = 0_u64;
            ours.drive(begun, |_, answer| {
                waiting.fetch_sub(1, Ordering::Relaxed);
                admitted += u64::from(answer.is_ok());
            });
            admitted
        });
        let admitted: u64 = threads.into_iter().map(|thread| thread.join().expect("it asks")).sum();
        say.send(Word::Stop).expect("the driver listens");
        admitted + driver.join().expect("it drives")
    });
    drop(handles);
    let rate = admitted as f64 / begun.elapsed().as_secs_f64();
    let (used, rows, calls, exposure) = ours.close(begun);
    Done { rate, admitted, over: admitted.abs_diff(used), rows, calls, exposure }
}

/// One thread meets the requests as they come; those that wait are answered by the driver.
fn ours_at_a_rate(schema: &str, keys: u64, rate: f64, way: Way) -> (Done, Vec<Duration>, usize) {
    let mut ours = Ours::new(schema, way);
    let say = ours.say.clone();
    let mut handles: Vec<Handle> =
        (0..keys).map(|number| ours.node.handle(Time(0), ours.policy, &key(number))).collect();
    let schedule = Schedule::new(rate, LENGTH);
    let begun = Instant::now();
    let (late, mut times, admitted) = std::thread::scope(|scope| {
        let schedule = &schedule;
        let ours = &mut ours;
        let driver = scope.spawn(move || {
            let mut late = Vec::new();
            let mut admitted = 0;
            ours.drive(begun, |request, answer| {
                admitted += u64::from(answer.is_ok());
                drop(answer);
                late.push(schedule.since(request.0));
            });
            (late, admitted)
        });
        let mut random = Random(3);
        let mut times = Vec::with_capacity(schedule.requests() as usize);
        let mut admitted = 0_u64;
        let mut asked = 0_u64;
        while let Some(number) = schedule.take() {
            let place = random.below(keys) as usize;
            let units = if number % 1_000 == 999 { LIMIT as u64 + 1 } else { 1 };
            let now = Time(begun.elapsed().as_millis() as u64);
            match handles[place].try_consume(now, Units(units)).map(drop) {
                Ok(()) => admitted += 1,
                Err(refusal) if refusal.reason == Reason::Lease => {
                    asked += 1;
                    say.send(Word::Ask(number, key(place as u64))).expect("the driver listens");
                    continue;
                }
                Err(_) => {}
            }
            times.push(schedule.since(number));
        }
        say.send(Word::Stop).expect("the driver listens");
        let (late, waited) = driver.join().expect("it drives");
        assert_eq!(late.len() as u64, asked, "who waited was answered");
        (late, times, admitted + waited)
    });
    drop(handles);
    let rate = admitted as f64 / begun.elapsed().as_secs_f64();
    let misses = late.len();
    times.extend(late);
    let (used, rows, calls, exposure) = ours.close(begun);
    (Done { rate, admitted, over: admitted.abs_diff(used), rows, calls, exposure }, times, misses)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn capacity() {
    println!("As fast as it goes, medians of {ROUNDS} rounds of {} s in turns:\n", LENGTH.as_secs());
    println!(
        "| way | admitted a second | to the hot row | admitted | not in the database | rows | calls | a crash, at most: under |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut all: [Vec<Done>; 4] = Default::default();
    for round in 0..ROUNDS {
        for (place, way) in WAYS.into_iter().enumerate() {
            all[place].push(way.as_fast_as_it_goes());
        }
        for (place, keys) in [(2, 1), (3, KEYS)] {
            all[place].push(ours_as_fast_as_it_goes(
                &format!("fast_{keys}_{round}"),
                keys,
                Way::near(DEPTHS[1]),
            ));
        }
    }
    let names = [WAYS[0].name, WAYS[1].name, "Deltaic, one key", "Deltaic, 1,000 keys"];
    for (name, runs) in names.into_iter().zip(&all) {
        let ratios = runs.iter().zip(&all[0]).map(|(run, hot)| run.rate / hot.rate).collect();
        let last = runs.last().expect("there are rounds");
        println!(
            "| {name} | {} | {:.1} | {} | {} | {} | {} | {} |",
            grouped(median(runs.iter().map(|run| run.rate).collect()) as u64),
            median(ratios),
            grouped(last.admitted),
            runs.iter().map(|run| run.over).sum::<u64>(),
            grouped(last.rows),
            grouped(last.calls),
            grouped(runs.iter().map(|run| run.exposure).max().unwrap_or(0)),
        );
    }
    println!();
}

fn answers() {
    println!("At a rate, from when a request was due, {} s each:\n", LENGTH.as_secs());
    println!(
        "| way | due a second | admitted a second | p50 | p99 | p99.9 | longest | waited for the ledger | not in the database | rows | calls | a crash, at most: under |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let print = |name: &str, due: f64, done: Done, mut times: Vec<Duration>, misses: usize| {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            grouped(due as u64),
            grouped(done.rate as u64),
            percentiles(&mut times),
            grouped(misses as u64),
            done.over,
            grouped(done.rows),
            grouped(done.calls),
            grouped(done.exposure)
        );
    };
    for rate in [100.0, 1_000.0] {
        for way in WAYS {
            let (done, times) = way.at_a_rate(rate);
            let misses = times.len();
            print(way.name, rate, done, times, misses);
        }
        for depth in DEPTHS {
            let (done, times, misses) =
                ours_at_a_rate(&format!("slow_{rate}_{depth}"), KEYS, rate, Way::near(depth));
            print(&format!("Deltaic, 1,000 keys, {depth} under way"), rate, done, times, misses);
        }
    }
    for rate in [10_000.0, 100_000.0] {
        for keys in [1, KEYS] {
            for depth in DEPTHS {
                let schema = format!("rate_{keys}_{rate}_{depth}");
                let (done, times, misses) = ours_at_a_rate(&schema, keys, rate, Way::near(depth));
                let name = if keys == 1 { "Deltaic, one key" } else { "Deltaic, 1,000 keys" };
                print(&format!("{name}, {depth} under way"), rate, done, times, misses);
            }
        }
    }
    println!();
}

/// Where the way to the server takes time, and nearly every request is its key's first.
fn from_afar() {
    println!("The same, {FAR_KEYS} keys, and each message is on its way for {FAR:?}:\n");
    println!(
        "| batches under way | due a second | p50 | p99 | p99.9 | longest | waited for the ledger | not in the database | rows | calls |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let port = far::open(Server::PORT, FAR);
    for rate in [1_000.0, 3_000.0] {
        for depth in [1, 2, 4, 8] {
            let schema = format!("far_{rate}_{depth}");
            let (done, mut times, misses) = ours_at_a_rate(&schema, FAR_KEYS, rate, Way { port, depth });
            println!(
                "| {depth} | {} | {} | {} | {} | {} | {} |",
                grouped(rate as u64),
                percentiles(&mut times),
                grouped(misses as u64),
                done.over,
                grouped(done.rows),
                grouped(done.calls)
            );
        }
    }
}
