//! Each error is said by what it is for, and changes nothing.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use deltaic_causality::{ActorId, Dot};
use deltaic_crdt::Crdt;
use deltaic_text::{Client, Edit, Format, Text, TextCrdt, TextError, YrsText};
use deltaic_types::limits;

fn client(actor: u64) -> Client {
    Client::new(ActorId(actor)).unwrap()
}

#[test]
fn edits_outside_the_text_are_refused() {
    let mut text = YrsText::new(client(1));
    text.insert(0, "a\u{1f980}e\u{301}").unwrap();
    let before = text.encode();
    // Four characters, of five units.
    assert_eq!(text.insert(5, "x"), Err(TextError::BeyondEnd { at: 5, length: 4 }));
    assert_eq!(text.delete(3..5), Err(TextError::BeyondEnd { at: 5, length: 4 }));
    let backwards = std::ops::Range { start: 3, end: 2 };
    assert_eq!(text.delete(backwards), Err(TextError::Backwards { start: 3, end: 2 }));
    assert_eq!(text.format(4..9, "bold", &Format::None), Err(TextError::BeyondEnd { at: 9, length: 4 }));
    let name = "n".repeat(256);
    assert_eq!(text.format(0..1, &name, &Format::None), Err(TextError::LongName { length: 256, limit: 255 }));
    let long = "x".repeat(limits::VALUE_BYTES);
    assert!(matches!(text.insert(0, &long), Err(TextError::TooLarge { .. })));
    assert!(matches!(text.apply(&vec![0; limits::VALUE_BYTES + 1]), Err(TextError::TooLarge { .. })));
    assert_eq!(text.encode(), before);
    text.insert(4, "!").unwrap();
    text.delete(1..2).unwrap();
    assert_eq!(text.read().unwrap(), "ae\u{301}!");
}

#[test]
fn updates_that_would_make_it_too_large_are_refused() {
    let mut one = YrsText::new(client(1));
    let mut two = YrsText::new(client(2));
    one.insert(0, &"x".repeat(5 << 20)).unwrap();
    two.insert(0, &"y".repeat(5 << 20)).unwrap();
    let before = one.encode();
    assert!(matches!(one.apply(&two.encode()), Err(TextError::TooLarge { .. })));
    assert_eq!(one.encode(), before);
}

#[test]
fn a_writer_has_one_life_at_a_time() {
    let mut text = YrsText::default();
    assert_eq!(text.insert(0, "x"), Err(TextError::NoWriter));
    text.begin(client(1), 0).unwrap();
    text.insert(0, "abc").unwrap();
    let old = text.encode();
    let lost = text.insert(3, "def").unwrap();

    // Brought back from a copy, it is told that it has written six: it must not go on.
    let mut back = YrsText::decode(&old).unwrap();
    assert_eq!(back.begin(client(1), 6), Err(TextError::OtherLife { client: 1, written: 6, held: 3 }));
    assert_eq!(back.begin(client(1), 0), Err(TextError::OtherLife { client: 1, written: 0, held: 3 }));
    // Who goes on all the same is found out by whoever meets the other life.
    back.begin(client(1), 3).unwrap();
    assert_eq!(back.apply(&lost), Err(TextError::OtherLife { client: 1, written: 3, held: 6 }));
    let again = back.insert(0, "xyz").unwrap();
    assert_eq!(text.apply(&again), Err(TextError::Conflict { client: 1, clock: 3 }));
    assert_eq!(text.read().unwrap(), "abcdef");
}

#[test]
fn units_that_wait_are_not_numbered_again() {
    let mut text = YrsText::new(client(1));
    text.insert(0, "abc").unwrap();
    let later = text.insert(0, "def").unwrap();
    let mut other = YrsText::default();
    other.apply(&later).unwrap();
    assert_eq!(other.begin(client(1), 6), Err(TextError::OtherLife { client: 1, written: 6, held: 6 }));
}

#[test]
fn foreign_documents_are_refused() {
    let root = [1, 1, 1, 0, 4, 1, 5, b'o', b't', b'h', b'e', b'r', 1, b'a', 0];
    let key = [1, 1, 1, 0, 0x24, 1, 4, b't', b'e', b'x', b't', 1, b'k', 1, b'a', 0];
    let embedded = [1, 1, 1, 0, 5, 1, 4, b't', b'e', b'x', b't', 2, b'{', b'}', 0];
    let number = [1, 1, 1, 0, 6, 1, 4, b't', b'e', b'x', b't', 1, b'k', 1, b'7', 0];
    for update in [&root[..], &key, &embedded, &number] {
        let refused = YrsText::default().apply(update);
        assert!(matches!(refused, Err(TextError::Unsupported { .. })), "{refused:?}");
    }
    let itself = [1, 1, 1, 0, 0x84, 1, 0, 1, b'a', 0];
    assert!(matches!(YrsText::default().apply(&itself), Err(TextError::Decode(_))));
    // Read, but not what a text writes: two blocks that are one.
    let two = [1, 2, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'a', 0x84, 1, 0, 1, b'b', 0];
    assert!(matches!(YrsText::decode(&two), Err(TextError::Decode(_))));
    let mut text = YrsText::default();
    text.apply(&two).unwrap();
    assert_eq!(text.read().unwrap(), "ab");
    let one = [1, 1, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 2, b'a', b'b', 0];
    assert_eq!(text.encode(), one);
    assert!(text.diff(&[1, 0, 0]).is_err() && text.diff(&[2, 1, 0, 1, 0]).is_err());
}

#[test]
fn a_write_of_a_text_is_made_once_and_changes_something() {
    let mut text = Text::default();
    let dot = |seq| Dot { actor: ActorId(1), seq };
    text.edit(dot(2), &Edit::Insert(0, "a".to_owned())).unwrap();
    let before = text.clone();
    for seq in [0, 1, 2] {
        let used = text.edit(dot(seq), &Edit::Insert(0, "b".to_owned()));
        assert_eq!(used, Err(TextError::UsedDot { dot: dot(seq) }));
    }
    assert_eq!(text.edit(dot(3), &Edit::Delete(1..1)), Err(TextError::Nothing));
    let far = Dot { actor: ActorId(1 << 53), seq: 1 };
    let refused = text.edit(far, &Edit::Insert(0, String::new()));
    assert_eq!(refused, Err(TextError::ActorOutOfRange { actor: far.actor }));
    assert_eq!(text, before);
}

/// Copies that used a dot twice agree, and so do copies whose writes claim one unit.
#[test]
fn copies_with_one_actor_read_the_same() {
    let dot = |seq| Dot { actor: ActorId(1), seq };
    let insert = |text: &str| Edit::Insert(0, text.to_owned());
    let mut text = Text::default();
    text.edit(dot(1), &insert("a")).unwrap();
    let mut copy = text.clone();
    text.edit(dot(2), &insert("b")).unwrap();
    copy.edit(dot(2), &insert("c")).unwrap();
    copy.edit(dot(3), &insert("d")).unwrap();
    let (mut one, mut other) = (text.clone(), copy.clone());
    one.join(&copy);
    other.join(&text);
    assert_eq!((one.encode(), one.text()), (other.encode(), other.text()));
}
