//! The clock beside the paper's definitions, and its bytes beside the paper's and beside what nobody should send.

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use proptest::prelude::*;

use super::paper::{self, Clock};
use super::tree::arbitrary::{sample, tree};
use super::*;

/// What happens to a crowd of clocks.
#[derive(Debug, Clone, Copy)]
enum Step {
    Event(usize),
    Fork(usize),
    Message(usize, usize),
    Join(usize, usize),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let who = any::<usize>();
    let step = prop_oneof![
        4 => who.prop_map(Step::Event),
        2 => who.prop_map(Step::Fork),
        2 => (who, who).prop_map(|(a, b)| Step::Message(a, b)),
        1 => (who, who).prop_map(|(a, b)| Step::Join(a, b)),
    ];
    proptest::collection::vec(step, 0..most)
}

fn packed(kind: u8, bits: &str) -> Vec<u8> {
    let content: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|chunk| chunk.iter().enumerate().fold(0, |byte, (i, bit)| byte | (bit - b'0') << (7 - i)))
        .collect();
    let mut bytes = vec![kind];
    write_u64(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn stamp_bytes(stamp: &Stamp) -> Vec<u8> {
    let mut bytes = Vec::new();
    stamp.write(&mut bytes);
    bytes
}

fn id_bytes(id: &Id) -> Vec<u8> {
    let mut bytes = Vec::new();
    id.write(&mut bytes);
    bytes
}

fn read_stamp(bytes: &[u8]) -> Result<Stamp, TreeError> {
    let mut reader = Reader::new(bytes);
    let stamp = Stamp::read(&mut reader, Limits::own())?;
    reader.finish()?;
    Ok(stamp)
}

fn read_id(bytes: &[u8]) -> Result<Id, TreeError> {
    let mut reader = Reader::new(bytes);
    let id = Id::read(&mut reader, Limits::own())?;
    reader.finish()?;
    Ok(id)
}

proptest! {
    /// Forks, events, messages and joins give the paper's trees, bit for bit, and its order.
    #[test]
    fn the_clock_is_the_papers(steps in steps(120)) {
        let mut ours = vec![Owner::seed()];
        let mut theirs = vec![Clock::seed()];
        for step in steps {
            let n = ours.len();
            match step {
                Step::Event(a) => {
                    ours[a % n].event().unwrap();
                    theirs[a % n].event();
                }
                Step::Fork(a) => {
                    let fork = ours[a % n].fork().unwrap();
                    ours.push(fork);
                    let fork = theirs[a % n].fork();
                    theirs.push(fork);
                }
                Step::Message(a, b) => {
                    let stamp = ours[a % n].peek().clone();
                    ours[b % n].receive(&stamp);
                    let stamp = theirs[a % n].e.clone();
                    theirs[b % n].receive(&stamp);
                }
                Step::Join(a, b) if a % n != b % n => {
                    let gone = ours.swap_remove(b % n);
                    // What stood last stands at b now.
                    let a = if a % n == n - 1 { b % n } else { a % n };
                    ours[a].join(gone).unwrap();
                    let gone = theirs.swap_remove(b % n);
                    theirs[a].join(&gone);
                }
                Step::Join(..) => {}
            }
        }
        for (own, their) in ours.iter().zip(&theirs) {
            prop_assert_eq!(stamp_bytes(own.peek()), packed(0x11, &paper::event_bits(&their.e)));
            prop_assert_eq!(id_bytes(own.id()), packed(0x21, &paper::id_bits(&their.i)));
            prop_assert_eq!(read_stamp(&stamp_bytes(own.peek())), Ok(own.peek().clone()));
            prop_assert_eq!(read_id(&id_bytes(own.id())), Ok(own.id().clone()));
            for (other, others) in ours.iter().zip(&theirs) {
                prop_assert_eq!(own.peek().leq(other.peek()), paper::leq(&their.e, &others.e));
            }
        }
    }

    /// Any trees, not only those that clocks come to: what they mean at each point of the line.
    #[test]
    fn trees_are_functions(a in tree(0_u64..4), b in tree(0_u64..4), id in tree(any::<bool>())) {
        let points: Vec<(u64, u64, bool)> = sample(&a).into_iter().zip(sample(&b)).zip(sample(&id))
            .map(|((x, y), owned)| (x, y, owned)).collect();
        let (a, b, id) = (Event { tree: a }, Event { tree: b }, Id { tree: id });
        let less = points.iter().any(|(x, y, _)| x < y);
        let greater = points.iter().any(|(x, y, _)| x > y);
        prop_assert_eq!(a.leq(&b), !greater);
        let order = match (less, greater) {
            (true, true) => None,
            (true, false) => Some(std::cmp::Ordering::Less),
            (false, true) => Some(std::cmp::Ordering::Greater),
            (false, false) => Some(std::cmp::Ordering::Equal),
        };
        prop_assert_eq!(a.partial_cmp(&b), order);
        prop_assert_eq!(order == Some(std::cmp::Ordering::Equal), a == b);
        prop_assert_eq!(a.leq_within(&b, &id), points.iter().all(|(x, y, owned)| !owned || x <= y));
        let joined: Vec<u64> = points.iter().map(|(x, y, _)| *x.max(y)).collect();
        prop_assert_eq!(sample(&a.join(&b).tree), joined);
        prop_assert_eq!(a.max(), points.iter().map(|p| p.0).max().unwrap());
        prop_assert_eq!(a.min(), points.iter().map(|p| p.0).min().unwrap());

        // An event raises something that is owned, and nothing else.
        let next = a.event(&id).unwrap();
        let mut rises = false;
        for ((x, _, owned), y) in points.iter().zip(sample(&next.tree)) {
            prop_assert!(*x == y || *owned && *x < y);
            rises |= *x < y;
        }
        prop_assert_eq!(rises, !id.is_empty());

        let marked = sample(&a.mark(&id).unwrap().tree);
        let one_more: Vec<u64> = points.iter().map(|(x, _, owned)| x + u64::from(*owned)).collect();
        prop_assert_eq!(marked, one_more);

        prop_assert_eq!(read_stamp(&stamp_bytes(&Stamp::from(a.clone()))), Ok(Stamp::from(a)));
        prop_assert_eq!(read_id(&id_bytes(&id)), Ok(id));
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..40), kind in 0_u8..3) {
        // Mostly behind a good beginning, where more is read.
        if kind > 0 && bytes.len() > 2 {
            bytes[0] = if kind == 1 { 0x11 } else { 0x21 };
            bytes[1] = bytes.len() as u8 - 2;
        }
        if let Ok(stamp) = read_stamp(&bytes) {
            prop_assert_eq!(stamp_bytes(&stamp), bytes.clone());
        }
        if let Ok(id) = read_id(&bytes) {
            prop_assert_eq!(id_bytes(&id), bytes);
        }
    }

    /// All short bit strings in turn would be too many: those drawn here are whole trees more often than not.
    #[test]
    fn bits_that_are_read_are_written_again(bits in "[01]{3,24}") {
        for kind in [0x11, 0x21] {
            let bytes = packed(kind, &bits);
            let (stamp, id) = (read_stamp(&bytes), read_id(&bytes));
            prop_assert!(stamp.is_err() || id.is_err());
            if let Ok(stamp) = stamp {
                prop_assert_eq!(stamp_bytes(&stamp), bytes);
            } else if let Ok(id) = id {
                prop_assert_eq!(id_bytes(&id), bytes);
            }
        }
    }
}

#[test]
fn each_error_has_its_bytes() {
    let stamp = |bits: &str| read_stamp(&packed(0x11, bits)).unwrap_err();
    let id = |bits: &str| read_id(&packed(0x21, bits)).unwrap_err();
    let version = TreeError::Version { found: 0x21, expected: "stamp" };
    assert_eq!(read_stamp(&packed(0x21, "001")), Err(version.clone()));
    assert!(version.to_string().contains("newer version"));
    assert_eq!(read_stamp(&[]), Err(TreeError::Outer(DecodeError::Truncated)));
    assert_eq!(read_stamp(&[0x11, 9, 0]), Err(TreeError::Outer(DecodeError::Truncated)));
    assert!(matches!(
        read_stamp(&[0x11, 0x81, 0x80, 0x80, 0x08]),
        Err(TreeError::Outer(DecodeError::TooLong { .. }))
    ));
    assert_eq!(stamp("000"), TreeError::Truncated);
    assert_eq!(id("10111111"), TreeError::Truncated);
    // A byte too many, a bit that should be zero.
    assert_eq!(stamp("1001 00000 0000".replace(' ', "").as_str()), TreeError::LeftOver);
    assert_eq!(stamp("10010001"), TreeError::LeftOver);
    // A leaf without a count under a node; two children of which neither has nothing; a count of nothing said.
    assert_eq!(stamp("0001000"), TreeError::NotNormal);
    assert_eq!(stamp("01010011001"), TreeError::NotNormal);
    assert_eq!(stamp("0110010001001"), TreeError::NotNormal);
    // The node's own count has to be a leaf's.
    assert_eq!(stamp("011000001"), TreeError::NotNormal);
    assert_eq!(id("01000"), TreeError::NotNormal);
    assert_eq!(id("11001001"), TreeError::NotNormal);

    // Counts: those of the levels add up.
    let limits = Limits { counter: 2, ..Limits::own() };
    let read = |bits: &str| Stamp::read(&mut Reader::new(&packed(0x11, bits)), limits);
    assert!(read("1010").is_ok());
    assert_eq!(read("1011"), Err(TreeError::CounterTooGreat { limit: 2 }));
    // 1, and above it 2.
    assert_eq!(
        read("011001001 1010".replace(' ', "").as_str()),
        Err(TreeError::CounterTooGreat { limit: 2 })
    );
    let jump = Limits::peer(&Event::default().event(&Id::whole()).unwrap(), 1);
    assert_eq!(jump.counter, 2);
    for error in [TreeError::Truncated, TreeError::LeftOver, TreeError::NotNormal] {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_stamp_of_a_million_levels_is_refused() {
    // "000" a level: the left half is bare.
    let deep = "000".repeat(1_000_000) + "1001";
    let bytes = packed(0x11, &deep);
    let peer = Stamp::read(&mut Reader::new(&bytes), Limits::peer(&Event::default(), 1_000));
    assert!(matches!(peer, Err(TreeError::Outer(DecodeError::TooLong { .. }))));
    // With all the bytes it wants it is the levels that end it.
    assert_eq!(read_stamp(&bytes), Err(TreeError::TooDeep { limit: DEPTH }));
    assert!(TreeError::TooDeep { limit: DEPTH }.to_string().contains("16384"));

    // As deep as allowed goes, in each form.
    for level in ["000", "001"] {
        let bytes = packed(0x11, &(level.repeat(DEPTH as usize) + "1001"));
        let stamp = read_stamp(&bytes).unwrap();
        assert_eq!((stamp.event().depth(), stamp_bytes(&stamp)), (DEPTH, bytes));
        assert!(stamp.leq(&stamp) && stamp.join(&stamp) == stamp);
        let bytes = packed(0x11, &(level.repeat(DEPTH as usize + 1) + "1001"));
        assert_eq!(read_stamp(&bytes), Err(TreeError::TooDeep { limit: DEPTH }));
    }
    for level in ["01", "10"] {
        let bytes = packed(0x21, &(level.repeat(DEPTH as usize) + "001"));
        let id = read_id(&bytes).unwrap();
        let next = Event::default().event(&id).unwrap();
        assert_eq!((id.depth(), next.depth(), next.max()), (DEPTH, DEPTH, 1));
    }
}

/// The example that the paper goes through.
#[test]
fn the_papers_example() {
    let mut a = Owner::seed();
    let mut b = a.fork().unwrap();
    a.event().unwrap();
    let mut c = a.fork().unwrap();
    a.event().unwrap();
    b.event().unwrap();
    b.event().unwrap();
    // c joins b and the two part again.
    b.join(std::mem::replace(&mut c, Owner::seed())).unwrap();
    c = b.fork().unwrap();
    // b and a join, and one event makes one number of it all but c's part.
    a.join(b).unwrap();
    a.event().unwrap();
    assert_eq!(stamp_bytes(a.peek()), packed(0x11, "1010"));
    assert_eq!(id_bytes(a.id()), packed(0x21, "10001"));
    assert!(c.peek() < a.peek());
}
