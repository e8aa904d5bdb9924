//! A title that two users write apart: all come to "Final Title", the later one, whose machine has a clock an hour behind.
//! Run it with `cargo run -p deltaic-crdt --example collaborative_title`.

use deltaic_causality::{ActorId, Dot, HybridLogicalClock};
use deltaic_crdt::{Causal, Crdt, LwwRegister, MvRegister};

const HOUR: u64 = 3_600_000;
/// By how much the times of writes may be ahead of the machine's clock. Here an hour passes; mostly a minute does.
const BOUND: u64 = 2 * HOUR;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (first, second) = (ActorId(1), ActorId(2));
    let mut title = LwwRegister::<String>::default();

    // At nine user 1 writes; it is heard by user 2, on whose machine it is eight.
    let mut clock = HybridLogicalClock::new(BOUND);
    let draft = title.set(Dot { actor: first, seq: 1 }, clock.tick(9 * HOUR)?, "Draft Title".to_owned())?;
    let mut other = LwwRegister::default();
    let mut late_clock = HybridLogicalClock::new(BOUND);
    other.join(&LwwRegister::decode(&draft.encode())?);
    late_clock.observe(other.stamp().ok_or("it was just written")?.time);

    // 100 ms later user 2 writes. The time is after what was seen, whatever the machine's clock says.
    let time = late_clock.tick(8 * HOUR + 100)?;
    let last = other.set(Dot { actor: second, seq: 1 }, time, "Final Title".to_owned())?;

    // The two deltas come to a third in the other order, and the second twice.
    let mut third = LwwRegister::default();
    for delta in [&last, &draft, &last] {
        third.join(delta);
    }
    title.join(&last);
    for copy in [&title, &other, &third] {
        println!("{:?}", copy.get());
        assert_eq!(copy.get().map(String::as_str), Some("Final Title"));
    }

    // Who would rather ask than lose a title keeps both, until somebody has seen them.
    let mut here = Causal::<MvRegister<String>>::default();
    let mut there = here.clone();
    here.set(Dot { actor: first, seq: 1 }, "Draft Title".to_owned())?;
    there.set(Dot { actor: second, seq: 1 }, "Final Title".to_owned())?;
    here.join(&there);
    println!("written apart: {:?}", here.store().values().collect::<Vec<_>>());
    assert_eq!(here.store().values().count(), 2);
    here.set(Dot { actor: first, seq: 2 }, "Final Title".to_owned())?;
    there.join(&here);
    println!("resolved: {:?}", there.store().values().collect::<Vec<_>>());
    assert_eq!(there.store().values().collect::<Vec<_>>(), ["Final Title"]);
    Ok(())
}
