//! A process that is killed over its ledger, whichever that is: what it has told its client is never over the limit, and
//! under by at most the bound that it printed before.
//!
//! The process is the test program once more, with its orders in the environment. Its client is the test: it hears of each
//! admission after it, and of each refund before it, over a pipe that outlives the process.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use deltaic_quota::{
    Account, Budgets, Chunk, Effects, Flush, Guarantee, Input, Key, Ledger, NodeId, Permit, Policy, PolicyId,
    RequestId, Time, Units,
};

const ORDERS: &str = "DELTAIC_TEST_KILLED";
const LIMIT: u64 = 3_000;
const KEYS: [&str; 2] = ["a", "b"];
/// Those of keys with rows of their own.
const GUARANTEES: [Guarantee; 3] = [Guarantee::Escrow, Guarantee::GroupCommit, Guarantee::Volatile];

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What a process is to do, as one line: what comes first is where it stops to be killed, if anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    point: String,
    /// At which time that it comes there.
    turn: u64,
    guarantee: Guarantee,
    seed: u64,
    steps: u64,
    /// Where its ledger is.
    pub(crate) place: String,
}

impl Orders {
    fn write(&self) -> String {
        let guarantee = GUARANTEES.iter().position(|guarantee| *guarantee == self.guarantee).unwrap();
        let Self { point, turn, seed, steps, place, .. } = self;
        format!("{point};{turn};{guarantee};{seed};{steps};{place}")
    }

    fn read(line: &str) -> Self {
        let parts: Vec<&str> = line.splitn(6, ';').collect();
        let number = |place: usize| parts[place].parse().unwrap();
        let guarantee = GUARANTEES[number(2) as usize];
        let [point, place] = [parts[0], parts[5]].map(str::to_owned);
        Self { point, turn: number(1), guarantee, seed: number(3), steps: number(4), place }
    }
}

/// Says something to the client, whole or not at all: it is less than a pipe takes at once.
fn tell(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Where the process is to stop, and how often it still comes there before.
static POINT: Mutex<(String, u64)> = Mutex::new((String::new(), 0));
/// Whether a batch is with the ledger.
pub(crate) static APPLIES: AtomicBool = AtomicBool::new(false);
static CLOSES: AtomicBool = AtomicBool::new(false);

/// Stops here, if it was ordered to, until the process is killed.
pub(crate) fn reach(step: &str) {
    let mut point = POINT.lock().unwrap();
    let name = if CLOSES.load(Ordering::Relaxed) { format!("closing {step}") } else { step.to_owned() };
    if point.0 != name {
        return;
    }
    point.1 -= 1;
    if point.1 == 0 {
        tell("here");
        loop {
            std::thread::park();
        }
    }
}

/// The process: a node over its ledger.
struct Process<L> {
    ledger: L,
    node: Budgets,
    policy: PolicyId,
    now: u64,
    requests: u64,
    permits: Vec<(usize, Permit<'static>)>,
}

impl<L: Ledger> Process<L> {
    fn begin(orders: &Orders, mut ledger: L) -> Self {
        let opened = ledger.open(NodeId(1)).unwrap();
        let mut node = Budgets::new(NodeId(1));
        let policy = node.declare(Policy {
            guarantee: orders.guarantee,
            flush: Flush {
                threshold: Units(9),
                low_water: Units(4),
                max_age_millis: 100,
                deadband: Units(1),
            },
            chunk: Chunk { part: 4, nodes: 1, most: Units(12) },
            ..Policy::stock(Units(LIMIT))
        });
        node.step(Time(0), Input::Opened(opened));
        Self { ledger, node, policy, now: 0, requests: 0, permits: Vec::new() }
    }

    /// What its end at this moment would cost at the most.
    fn tell_bound(&self) {
        let bound = self.node.metrics().wrong_at_most;
        tell(&format!("bound {} {}", bound.under, bound.over));
    }

    fn admitted(&mut self, key: usize, permit: Permit<'static>) {
        tell(&format!("admitted {key} {}", permit.units()));
        self.permits.push((key, permit));
    }

    /// Whether it has ended.
    fn step(&mut self, input: Input) -> bool {
        let mut next = Some(input);
        let mut closed = false;
        while let Some(input) = next.take() {
            let is_reply = matches!(input, Input::Replied(..));
            let effects = self.node.step(Time(self.now), input);
            let Effects { send, replies, closed: is_closed, lost, failed, .. } = effects;
            assert_eq!((lost, failed), (None, None));
            closed |= is_closed;
            for (request, answer) in replies {
                if let Ok(permit) = answer {
                    self.admitted((request.0 % 2) as usize, permit);
                }
            }
            if is_reply {
                reach("installed");
            }
            self.tell_bound();
            if let Some(batch) = send.into_iter().next() {
                reach("before");
                APPLIES.store(true, Ordering::Relaxed);
                let outcome = self.ledger.apply(&batch);
                APPLIES.store(false, Ordering::Relaxed);
                reach("after");
                next = Some(Input::Replied(batch.seq, outcome));
            }
        }
        closed
    }

    fn ask(&mut self, key: usize, units: u64) {
        self.requests += 2;
        let request = RequestId(self.requests + key as u64);
        let (policy, key) = (self.policy, Key::new(KEYS[key].as_bytes()).unwrap());
        self.step(Input::Consume { request, policy, key, units: Units(units) });
    }

    fn run(&mut self, random: &mut Random) {
        self.now += random.below(30);
        let (key, units) = (random.below(2) as usize, random.below(7) + 1);
        match random.below(9) {
            0..=2 => self.ask(key, units),
            3..=5 => {
                let name = Key::new(KEYS[key].as_bytes()).unwrap();
                let mut handle = self.node.handle(Time(self.now), self.policy, &name);
                if let Ok(permit) = handle.try_consume_shared(Time(self.now), Units(units)) {
                    self.admitted(key, permit);
                }
            }
            6 | 7 if !self.permits.is_empty() => {
                let place = random.below(self.permits.len() as u64) as usize;
                let (key, permit) = self.permits.swap_remove(place);
                // The client has given it up before anybody else can have it.
                let kept = if random.below(2) == 0 { 0 } else { random.below(permit.units().0 + 1) };
                tell(&format!("refunded {key} {}", permit.units().0 - kept));
                permit.commit(Units(kept)).unwrap();
            }
            _ => {
                self.step(Input::Tick);
            }
        }
        self.tell_bound();
    }

    /// Settles all and says so. What clients have in hand is theirs.
    fn close(mut self) {
        CLOSES.store(true, Ordering::Relaxed);
        self.permits.clear();
        let mut closed = self.step(Input::Close);
        while !closed {
            closed = self.step(Input::Close);
        }
        tell("closed");
    }
}

/// In the process: does what it was ordered to; nothing where there are no orders.
pub(crate) fn obey<L: Ledger>(connect: impl FnOnce(&str) -> L) {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders = Orders::read(&orders);
    *POINT.lock().unwrap() = (orders.point.clone(), orders.turn);
    let mut process = Process::begin(&orders, connect(&orders.place));
    process.tell_bound();
    let mut random = Random(orders.seed);
    for _ in 0..orders.steps {
        process.run(&mut random);
    }
    if orders.steps == 0 {
        // What is left, to the last unit: what the ledger said a while ago is not believed any more.
        for key in 0..KEYS.len() {
            let (mut refused, mut units) = (0, 40);
            while refused < 3 {
                let before = process.permits.len();
                process.ask(key, units);
                let is_admitted = process.permits.len() > before;
                (refused, units) = match (is_admitted, units) {
                    (true, _) => (0, units),
                    (false, 1) => (refused + 1, 1),
                    (false, _) => (0, 1),
                };
                process.now += if is_admitted { 1 } else { 1_000 };
            }
        }
    }
    process.close();
}

/// What the client of all these processes has heard.
#[derive(Debug, Default)]
struct Client {
    /// Admitted and not refunded, by key.
    held: [u64; 2],
    /// What all the ends may have cost, by the word of those that ended.
    under: u64,
    over: u64,
    kills: u32,
    /// How often a process was killed at which point.
    at: std::collections::BTreeMap<String, u32>,
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Client {
    /// A process from its beginning to its end: it closes, comes to where it is killed, or is killed when it has said so
    /// many lines.
    fn watch(&mut self, test: &str, orders: &Orders, lines: u64) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ORDERS, orders.write())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let (mut bound, mut since, mut said) = ((0, 0), (0, 0), String::new());
        let (mut heard, mut is_killed, mut is_closed) = (0, false, false);
        // To the end of the pipe: what was written before the kill was said.
        for line in BufReader::new(child.0.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let number = |place: usize| words[place].parse::<u64>().unwrap();
            match words[0] {
                "bound" => (bound, since) = ((number(1), number(2)), (0, 0)),
                "admitted" => {
                    self.held[number(1) as usize] += number(2);
                    since.1 += number(2);
                }
                "refunded" => {
                    self.held[number(1) as usize] -= number(2);
                    since.0 += number(2);
                }
                "here" => {
                    child.0.kill().unwrap();
                    is_killed = true;
                    *self.at.entry(orders.point.clone()).or_default() += 1;
                }
                "closed" => is_closed = true,
                _ => writeln!(said, "{line}").unwrap(),
            }
            heard += 1;
            if heard == lines && !is_closed {
                child.0.kill().unwrap();
                is_killed = true;
                *self.at.entry("anywhere".to_owned()).or_default() += 1;
            }
            let most = LIMIT + self.over;
            assert!(self.held.iter().all(|held| *held <= most), "{orders:?}: {:?} of {most}", self.held);
        }
        let ended = child.0.wait().unwrap();
        assert!(is_killed || (is_closed && ended.success()), "{orders:?}: {said}");
        if is_killed && !is_closed {
            self.kills += 1;
            self.under += bound.0 + since.0;
            if orders.guarantee == Guarantee::Volatile {
                self.over += bound.1 + since.1;
            } else {
                assert_eq!(bound.1, 0, "what is covered is never over");
            }
        }
    }
}

/// Kills the processes of one ledger at these points, some times each, and anywhere else; the last one takes what is left.
pub(crate) fn kill_everywhere<L: Ledger>(
    test: &str,
    guarantee: Guarantee,
    points: &[&str],
    place: &str,
    ledger: impl FnOnce() -> L,
) {
    let mut client = Client::default();
    let mut seed = 0;
    let mut life = |client: &mut Client, point: &str, turn: u64, lines: u64| {
        seed += 1;
        let steps = if point.starts_with("closing") { 10 } else { 60 };
        let (point, place) = (point.to_owned(), place.to_owned());
        client.watch(test, &Orders { point, turn, guarantee, seed, steps, place }, lines);
    };
    for point in points {
        let turns: &[u64] = match *point {
            "inside" => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 18, 23],
            "closing inside" => &[1, 2, 3, 4, 5, 6],
            _ if point.starts_with("closing") => &[1],
            _ => &[1, 2, 3, 5],
        };
        for turn in turns {
            life(&mut client, point, *turn, u64::MAX);
        }
    }
    let mut random = Random(guarantee as u64);
    for _ in 0..20 {
        let lines = random.below(150) + 1;
        life(&mut client, "", 0, lines);
    }
    // One that closes, and one that takes what is left.
    life(&mut client, "", 0, u64::MAX);
    let (under, over, before) = (client.under, client.over, client.held);
    let rest =
        Orders { point: String::new(), turn: 0, guarantee, seed: 0, steps: 0, place: place.to_owned() };
    client.watch(test, &rest, u64::MAX);

    let total: u64 = client.held.iter().sum();
    let whole = LIMIT * KEYS.len() as u64;
    println!(
        "{} kills {:?}: {before:?} held before the rest, {total} of {whole} in the end, at most {under} under and {over} over",
        client.kills, client.at
    );
    assert!(client.kills >= 30, "{}", client.kills);
    let killed_at = |point: &&str| client.at.contains_key(*point);
    assert!(points.iter().chain(&["anywhere"]).all(killed_at), "{:?}", client.at);
    assert!(before.iter().sum::<u64>() < whole, "something was left for the end");
    assert!(total + under >= whole, "{total} of {whole}, bound {under}");
    assert!(total <= whole + over, "{total} of {whole}, bound {over}");
    let mut ledger = ledger();
    for name in KEYS {
        let account = Account::stock(Key::new(name.as_bytes()).unwrap());
        let row = ledger.load(&account).unwrap().unwrap().baseline;
        assert_eq!((row.used, row.reserved), (Units(LIMIT), Units::ZERO), "{name}");
    }
}
