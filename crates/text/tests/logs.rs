//! Logs read as texts: edits over what an author had seen, a text that they begin with, and bytes that nobody wrote.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{Crdt, Log};
use deltaic_text::{Client, Edit, TextCrdt, TextError, TextLog, YrsText};
use deltaic_types::limits;

const BEGINNING: &str = "Dear 🦀,";

fn dot(actor: u64, seq: u64) -> Dot {
    Dot { actor: ActorId(actor), seq }
}

fn read(log: &Log) -> String {
    TextLog::new(log, BEGINNING).text().unwrap()
}

fn insert(at: usize, text: &str) -> Edit {
    Edit::Insert(at, text.to_owned())
}

/// Writes the edits as the actor's next write, over what it had seen.
fn edit(log: &mut Log, dot: Dot, seen: Option<&CausalContext>, edits: &[Edit]) {
    let bytes = TextLog::new(log, BEGINNING).edit(Client::of(dot.actor), seen, edits).unwrap();
    log.append(dot, bytes).unwrap();
}

fn assign(log: &mut Log, dot: Dot, seen: Option<&CausalContext>, text: &str) {
    let bytes = TextLog::new(log, BEGINNING).assign(Client::of(dot.actor), seen, text).unwrap();
    log.append(dot, bytes).unwrap();
}

fn rewrite(log: &mut Log, dot: Dot, seen: Option<&CausalContext>, text: &str) {
    let bytes = TextLog::new(log, BEGINNING).rewrite(Client::of(dot.actor), seen, text).unwrap();
    log.append(dot, bytes).unwrap();
}

#[test]
fn two_that_begin_apart_have_one_beginning() {
    let (mut one, mut two) = (Log::default(), Log::default());
    edit(&mut one, dot(1, 1), None, &[insert(7, " hello"), Edit::Delete(5..6), insert(0, "> ")]);
    edit(&mut two, dot(u64::MAX, 1), None, &[Edit::Delete(0..1), insert(0, "d"), insert(7, "!")]);
    assert_eq!((read(&one), read(&two)), ("> Dear , hello".to_owned(), "dear 🦀,!".to_owned()));
    let (mut left, mut right) = (one.clone(), two.clone());
    left.join(&two);
    right.join(&one);
    assert_eq!((left.encode(), read(&left)), (right.encode(), read(&right)));
    // What each had put there is there once, what either removed is gone, and nothing of the beginning is there twice.
    let text = read(&left);
    assert!(text.contains("ear ,") && text.contains(" hello") && text.contains('!'), "{text}");
    assert!(!text.contains('D') && !text.contains('🦀') && text.contains("> "), "{text}");
    assert_eq!(text.chars().count(), 5 + 6 + 1 + 1 + 2, "{text}");
}

/// Places count in the text that the author had seen, and only what it had seen goes.
#[test]
fn an_author_who_had_not_seen_all_writes_what_it_meant() {
    let mut log = Log::default();
    edit(&mut log, dot(1, 1), None, &[insert(7, " one two three")]);
    let seen: CausalContext = [dot(1, 1)].into_iter().collect();
    edit(&mut log, dot(2, 1), None, &[insert(0, "## ")]);
    edit(&mut log, dot(1, 2), None, &[Edit::Delete(10..14)]);
    edit(&mut log, dot(1, 3), None, &[insert(14, " and")]);
    assert_eq!(read(&log), "## Dear 🦀, two and three");
    let before = log.clone();

    // "Dear 🦀, one two three" is what it had seen: of "one", which went meanwhile, nothing comes back.
    edit(&mut log, dot(3, 1), Some(&seen), &[insert(11, "!"), Edit::Delete(12..16), insert(0, "- ")]);
    assert_eq!(read(&log), "## - Dear 🦀,! and three");
    // Its own writes it has seen, the others' still not.
    let own: CausalContext = [dot(1, 1), dot(3, 1)].into_iter().collect();
    assign(&mut log, dot(3, 2), Some(&own), "- Dear 🦀, one! six");
    assert_eq!(read(&log), "## - Dear 🦀,! and six");

    let mut log = before.clone();
    assign(&mut log, dot(1, 4), Some(&seen), "Dear 🦀,");
    assert_eq!(read(&log), "## Dear 🦀, and");
    // What was made of all that is here is no second insertion of what others wrote.
    let mut log = before.clone();
    rewrite(&mut log, dot(3, 1), Some(&seen), "## DEAR two and three");
    assert_eq!(read(&log), "## DEAR two and three");
    let mut log = before;
    rewrite(&mut log, dot(3, 1), Some(&seen), "");
    assert_eq!(read(&log), "##  and");
}

/// The difference of any two texts makes the one of the other, and an edit of several steps is one write.
#[test]
fn an_assignment_reads_as_what_was_assigned() {
    for seed in 0..300 {
        let mut choices = Choices::new(seed);
        let mut log = Log::default();
        for seq in 1..=6 {
            let text: String =
                (0..choices.below(7)).map(|_| ['a', 'b', '🦀', '\u{301}'][choices.place(4)]).collect();
            let wanted = TextLog::new(&log, BEGINNING);
            match wanted.assign(Client::of(ActorId(1)), None, &text) {
                Ok(bytes) => drop(log.append(dot(1, seq), bytes).unwrap()),
                Err(error) => {
                    assert_eq!((error, read(&log)), (TextError::Nothing, text.clone()), "seed {seed}");
                }
            }
            assert_eq!(read(&log), text, "seed {seed}");
        }
    }
}

/// What cannot be read is left out, what claims the units of another write too, and who writes behind them is heard.
#[test]
fn what_a_foreign_peer_put_there_is_read_as_far_as_it_can_be() {
    let mut good = Log::default();
    edit(&mut good, dot(2, 1), None, &[insert(7, " hello")]);
    let (_, own) = good.iter().next().unwrap();
    // Units of client 2 beyond any, units that wait, removals of what is to come, and a claim on the beginning.
    let far = [1, 1, 2, 0xff, 0xff, 0xff, 0xff, 7, 4, 1, 4, b't', b'e', b'x', b't', 1, b'a', 0];
    let waiting = [1, 1, 2, 9, 0x84, 2, 8, 1, b'a', 0];
    let removing = [0, 1, 2, 1, 0, 100];
    let mut claiming = vec![1, 1];
    deltaic_types::codec::write_u64(&mut claiming, Client::END - 2);
    claiming.extend([0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'x', 0]);
    let foreign: [&[u8]; 6] = [&[], &[7; 9], &far, &waiting, &removing, &claiming];
    for bytes in foreign {
        let mut log = Log::default();
        log.append(dot(1, 1), bytes).unwrap();
        assert_eq!(read(&log), BEGINNING, "{bytes:?}");
        edit(&mut log, dot(2, 1), None, &[insert(7, " hello")]);
        assert_eq!(read(&log), format!("{BEGINNING} hello"), "{bytes:?}");
        edit(&mut log, dot(2, 2), None, &[insert(13, "!")]);
        assert_eq!(read(&log), format!("{BEGINNING} hello!"), "{bytes:?}");
    }
    // Two that claim one unit: the lesser dot has it, on both sides.
    let mut other = Log::default();
    edit(&mut other, dot(2, 1), None, &[insert(7, " world")]);
    let mut log = good.clone();
    let (_, theirs) = other.iter().next().unwrap();
    log.append(dot(3, 1), theirs).unwrap();
    assert_eq!(read(&log), format!("{BEGINNING} hello"));
    let mut log = other.clone();
    log.append(dot(3, 1), own).unwrap();
    assert_eq!(read(&log), format!("{BEGINNING} world"));

    let (mut taken, mut spoilt) = (0, Vec::new());
    for seed in 0..2_000 {
        let mut choices = Choices::new(seed);
        let mut bytes = own.to_vec();
        for _ in 0..=choices.below(3) {
            let place = choices.place(bytes.len());
            bytes[place] = if choices.percent(70) { choices.below(12) as u8 } else { choices.number() as u8 };
        }
        let mut log = good.clone();
        log.append(dot(3, 1), bytes.clone()).unwrap();
        let before = read(&log);
        taken += u64::from(before != read(&good));
        let length = before.chars().count();
        edit(&mut log, dot(2, 2), None, &[insert(length, "end"), Edit::Delete(0..length.min(2))]);
        let expected: String = before.chars().skip(2).chain("end".chars()).collect();
        if read(&log) != expected {
            spoilt.push((seed, read(&log), expected));
        }
    }
    assert!(taken > 20, "{taken}");
    assert!(spoilt.is_empty(), "{spoilt:?}");
}

/// Of what is too long as much is read as a value may have; no write makes it so, nor the log longer than a row.
#[test]
fn what_is_read_and_written_stays_within_its_limits() {
    let mut log = Log::default();
    let half = "é".repeat(limits::VALUE_BYTES / 2 - 10);
    for actor in 1..=2 {
        let mut alone = Log::default();
        edit(&mut alone, dot(actor, 1), None, &[insert(0, &half)]);
        log.join(&alone);
    }
    assert_eq!(read(&log).len(), limits::VALUE_BYTES);
    let text = TextLog::new(&log, BEGINNING);
    let refused = text.edit(Client::of(ActorId(3)), None, &[insert(0, "x")]);
    assert!(matches!(refused, Err(TextError::TooLarge { limit: TextLog::BYTES, .. })), "{refused:?}");
    let (mut one, mut two) = (Log::default(), Log::default());
    let half = "é".repeat(limits::VALUE_BYTES / 4);
    assign(&mut one, dot(1, 1), None, &half);
    assign(&mut two, dot(2, 1), None, &half);
    one.join(&two);
    edit(&mut one, dot(1, 2), None, &[insert(0, "x")]);
    assert_eq!(read(&one).len(), limits::VALUE_BYTES - 1, "one byte, and characters of two");
    assign(&mut one, dot(1, 3), None, "short again");
    assert_eq!(read(&one), "short again");

    let mut long = Log::default();
    let bytes = vec![7_u8; limits::VALUE_BYTES];
    for seq in 1..=2 {
        long.append(dot(9, seq), bytes.clone()).unwrap();
    }
    assert_eq!(Log::decode(&long.encode()), Ok(long.clone()));
    let refused = TextLog::new(&long, "").edit(Client::of(ActorId(3)), None, &[insert(0, "x")]);
    let Err(TextError::TooLarge { limit, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(limit, TextLog::BYTES);
}

/// What one write adds is an update as Yjs has them: a document takes it in.
#[test]
fn a_write_is_an_update() {
    let log = Log::default();
    let text = TextLog::new(&log, "");
    let bytes = text.edit(Client::of(ActorId(5)), None, &[insert(0, "abc"), Edit::Delete(1..2)]).unwrap();
    let mut document = YrsText::default();
    document.apply(&bytes).unwrap();
    assert_eq!((document.read().unwrap(), document.encode()), ("ac".to_owned(), bytes));
}
