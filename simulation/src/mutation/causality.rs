//! The bytes of causality: cuts, contexts, clocks, stamps and ids, and what lives of ids keep and say.

use deltaic_causality::itc::{Event, Id, Limits, Owner, Stamp};
use deltaic_causality::life::{Effect, Input, Life, Message, Nonce, State};
use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VectorClock, VersionVector};
use deltaic_types::codec::Reader;

use super::decoders::{Decoder, Trials, USUAL};
use crate::random::Random;

/// What reading a tree may take, as [`Limits`] says: a byte holds nearly three levels.
const TREE: u64 = 400;

/// A number of any size, and now and then one of the last.
pub(super) fn number(random: &mut Random) -> u64 {
    if random.one_in(12) { u64::MAX - random.below(3) as u64 } else { random.number() >> random.below(64) }
}

/// Few actors or many, near each other or not.
pub(super) fn cut(random: &mut Random) -> VersionVector {
    let many = if random.one_in(6) { 60 } else { 5 };
    let spread = random.one_in(3);
    (0..random.below(many))
        .map(|_| {
            let actor = if spread { number(random) } else { random.below(many) as u64 };
            Dot { actor: ActorId(actor), seq: number(random) }
        })
        .collect()
}

/// A cut, and writes behind gaps of all sizes.
pub(super) fn context(random: &mut Random) -> CausalContext {
    let mut context = CausalContext::from(&cut(random));
    for _ in 0..random.below(12) {
        let actor = ActorId(random.below(4) as u64);
        let mut seq = number(random);
        for _ in 0..random.below(6) {
            context.insert(Dot { actor, seq });
            seq = seq.saturating_add(1 + random.below(3) as u64);
        }
    }
    context
}

/// Owners that have forked, counted, heard of each other and retired; now and then one that was halved many times.
fn owners(random: &mut Random) -> Result<Vec<Owner>, String> {
    let mut owners = vec![Owner::seed()];
    let deep = if random.one_in(6) { 200 } else { 0 };
    for step in 0..deep + random.below(40) {
        let place = if step < deep { 0 } else { random.below(owners.len()) };
        match random.below(5) {
            _ if step < deep => {
                let fork = owners[0].fork().map_err(|error| error.to_string())?;
                if step % 16 == 0 { owners.push(fork) } else { owners[0] = fork }
            }
            0 => {
                let fork = owners[place].fork().map_err(|error| error.to_string())?;
                owners.push(fork);
            }
            1 | 2 => {
                for _ in 0..=random.below(20) {
                    owners[place].event().map_err(|error| error.to_string())?;
                }
            }
            3 => {
                let stamp = owners[random.below(owners.len())].peek().clone();
                owners[place].receive(&stamp);
            }
            _ if owners.len() > 1 => {
                let gone = owners.swap_remove(place);
                let heir = random.below(owners.len());
                owners[heir].join(gone).map_err(|error| error.to_string())?;
            }
            _ => {}
        }
    }
    Ok(owners)
}

/// Lives that join and retire over a network that loses and repeats, with all that they have kept and said.
fn lives(random: &mut Random) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let actors: Vec<ActorId> = (1..=4).map(ActorId).collect();
    let state = |actor: ActorId| if actor.0 == 1 { State::founder(actor) } else { State::outside(actor) };
    let mut lives: Vec<Life> =
        actors.iter().map(|actor| Life::start(state(*actor), Vec::new(), Nonce(0)).0).collect();
    let (mut wire, mut states, mut messages) =
        (Vec::<(ActorId, ActorId, Message)>::new(), Vec::new(), Vec::new());
    for step in 0..40_u128 {
        let place = random.below(lives.len());
        let nonce = Nonce(step + 1);
        let (place, input) = match random.below(8) {
            0 | 1 => (place, Input::Join { nonce, candidates: actors.clone() }),
            2 if random.one_in(3) => (place, Input::Retire { nonce, candidates: actors.clone() }),
            3 => (place, Input::Event),
            4 => (place, Input::Tick),
            _ if wire.is_empty() => (place, Input::Event),
            _ => {
                let at = random.below(wire.len());
                let (from, to, message) =
                    if random.one_in(5) { wire[at].clone() } else { wire.swap_remove(at) };
                (to.0 as usize - 1, Input::Received { from, message })
            }
        };
        for effect in lives[place].step(input).unwrap_or_default() {
            if let Effect::Send { to, message } = effect {
                messages.push(written(|bytes| message.write(bytes)));
                wire.push((actors[place], to, message));
            }
        }
        states.push(written(|bytes| lives[place].state().write(bytes)));
    }
    (states, messages)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

/// What a reader finds in these bytes, which are all of it.
pub(super) fn whole<T, E: From<deltaic_types::codec::DecodeError>>(
    bytes: &[u8],
    read: impl Fn(&mut Reader<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

fn holds(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Trials<'_> {
    /// What replicas say of what they have seen.
    pub(super) fn causality(&mut self) -> Result<(), String> {
        self.vectors()?;
        self.trees()?;
        self.lives()
    }

    fn vectors(&mut self) -> Result<(), String> {
        let decode = |bytes: &[u8]| whole(bytes, VersionVector::read);
        let encode = |cut: &VersionVector| written(|bytes| cut.write(bytes));
        let other = cut(self.random);
        let valid = [encode(&cut(self.random)), encode(&other)];
        let decoder = Decoder { name: "causality/cut", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let (mut left, mut right) = (read.clone(), other.clone());
            left.join(&other);
            right.join(read);
            holds(left == right && *read <= left && other <= left, "is joined to something else")
        })?;

        let decode = |bytes: &[u8]| whole(bytes, VectorClock::read);
        let encode = |clock: &VectorClock| written(|bytes| clock.write(bytes));
        let decoder = Decoder { name: "causality/vector_clock", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let mut clock = read.clone();
            // None after the last number.
            let _ =
                (clock.send(ActorId(1)), clock.receive(ActorId(2), read), clock.deliver(ActorId(3), read));
            holds(clock.contains(read), "is forgotten")
        })?;

        let decode = |bytes: &[u8]| whole(bytes, CausalContext::read);
        let encode = |context: &CausalContext| written(|bytes| context.write(bytes));
        let other = context(self.random);
        let valid = [encode(&context(self.random)), encode(&other)];
        let decoder = Decoder { name: "causality/context", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let (mut left, mut right) = (read.clone(), other.clone());
            left.join(&other);
            right.join(read);
            let rest = left.minus(&other);
            holds(left == right && left.includes(read), "is joined to something else")?;
            holds(rest.is_disjoint(&other) && read.includes(&rest), "is taken from otherwise")?;
            holds(read.covers(&read.cut()) && decode(&encode(&left)) == Ok(left), "has no cut or no bytes")
        })?;

        let decode = |bytes: &[u8]| whole(bytes, HybridTime::read);
        let encode = |time: &HybridTime| written(|bytes| time.write(bytes));
        let valid = [encode(&HybridTime(number(self.random))), encode(&HybridTime(number(self.random)))];
        let decoder = Decoder { name: "causality/hybrid_time", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |_| Ok(()))
    }

    fn trees(&mut self) -> Result<(), String> {
        let owners = owners(self.random)?;
        let (one, two) = (&owners[self.random.below(owners.len())], &owners[self.random.below(owners.len())]);
        let encode = |stamp: &Stamp| written(|bytes| stamp.write(bytes));
        let valid = [encode(one.peek()), encode(two.peek())];
        // A replica knows what it has counted; a peer may know so much more.
        let all = owners.iter().fold(Event::default(), |all, owner| all.join(owner.peek().event()));
        for (name, limits) in
            [("causality/stamp", Limits::own()), ("causality/stamp_of_a_peer", Limits::peer(&all, 5))]
        {
            let decode = |bytes: &[u8]| whole(bytes, |reader| Stamp::read(reader, limits));
            self.of(&Decoder { name, factor: TREE, decode, encode }, [&valid[0], &valid[1]], |read| {
                let joined = read.join(one.peek());
                holds(joined == one.peek().join(read), "is joined to something else")?;
                holds(read.leq(&joined) && one.peek().leq(&joined), "is not below what it is joined to")?;
                holds(read.event().max() <= limits.counter, "counts beyond its limit")?;
                holds(decode(&encode(&joined)) == Ok(joined), "has no bytes")
            })?;
        }

        let decode = |bytes: &[u8]| whole(bytes, |reader| Id::read(reader, Limits::own()));
        let encode = |id: &Id| written(|bytes| id.write(bytes));
        let valid = [encode(one.id()), encode(two.id())];
        let decoder = Decoder { name: "causality/id", factor: TREE, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let (left, right) = read.split();
            holds(left.join(&right).as_ref() == Ok(read), "is split into something else")
        })
    }

    fn lives(&mut self) -> Result<(), String> {
        let (states, messages) = lives(self.random);
        let encode = |state: &State| written(|bytes| state.write(bytes));
        let decode = |bytes: &[u8]| whole(bytes, State::read);
        let decoder = Decoder { name: "causality/life_state", factor: TREE, decode, encode };
        let valid = [self.random.pick(&states).clone(), self.random.pick(&states).clone()];
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            // It goes on from there.
            let (mut life, _) = Life::start(kept(&encode(read))?, Vec::new(), Nonce(0));
            for input in [Input::Event, Input::Tick] {
                let _ = life.step(input);
            }
            let bytes = encode(life.state());
            holds(decode(&bytes).as_ref() == Ok(life.state()), "goes on as something that cannot be read")
        })?;
        if messages.is_empty() {
            return Ok(());
        }
        let encode = |message: &Message| written(|bytes| message.write(bytes));
        let decode = |bytes: &[u8]| whole(bytes, |reader| Message::read(reader, Limits::own()));
        let decoder = Decoder { name: "causality/life_message", factor: TREE, decode, encode };
        let valid = [self.random.pick(&messages).clone(), self.random.pick(&messages).clone()];
        let state = self.random.pick(&states).clone();
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let (mut life, _) = Life::start(kept(&state)?, Vec::new(), Nonce(0));
            let _ = life.step(Input::Received { from: ActorId(2), message: read.clone() });
            let bytes = written(|bytes| life.state().write(bytes));
            holds(kept(&bytes).as_ref() == Ok(life.state()), "leaves a state that cannot be read")
        })
    }
}

/// The state that a storage has kept: it cannot be cloned.
fn kept(bytes: &[u8]) -> Result<State, String> {
    whole(bytes, State::read).map_err(|error| error.to_string())
}
