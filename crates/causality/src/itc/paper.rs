//! The paper's definitions, word for word, as recursive functions over boxed trees: the oracle of the tests.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum I {
    Leaf(bool),
    Node(Box<I>, Box<I>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum E {
    Leaf(u64),
    Node(u64, Box<E>, Box<E>),
}

/// A stamp with its id, as the paper has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) i: I,
    pub(super) e: E,
}

fn id(l: I, r: I) -> I {
    match (&l, &r) {
        (I::Leaf(a), I::Leaf(b)) if a == b => I::Leaf(*a),
        _ => I::Node(Box::new(l), Box::new(r)),
    }
}

fn split(i: &I) -> (I, I) {
    match i {
        I::Leaf(false) => (I::Leaf(false), I::Leaf(false)),
        I::Leaf(true) => (id(I::Leaf(true), I::Leaf(false)), id(I::Leaf(false), I::Leaf(true))),
        I::Node(l, r) => match (&**l, &**r) {
            (I::Leaf(false), r) => {
                let (a, b) = split(r);
                (id(I::Leaf(false), a), id(I::Leaf(false), b))
            }
            (l, I::Leaf(false)) => {
                let (a, b) = split(l);
                (id(a, I::Leaf(false)), id(b, I::Leaf(false)))
            }
            (l, r) => (id(l.clone(), I::Leaf(false)), id(I::Leaf(false), r.clone())),
        },
    }
}

fn sum(a: &I, b: &I) -> I {
    match (a, b) {
        (I::Leaf(false), x) | (x, I::Leaf(false)) => x.clone(),
        (I::Node(l1, r1), I::Node(l2, r2)) => id(sum(l1, l2), sum(r1, r2)),
        _ => panic!("the ids overlap"),
    }
}

fn lift(m: u64, e: &E) -> E {
    match e {
        E::Leaf(n) => E::Leaf(n + m),
        E::Node(n, l, r) => E::Node(n + m, l.clone(), r.clone()),
    }
}

fn sink(m: u64, e: &E) -> E {
    match e {
        E::Leaf(n) => E::Leaf(n - m),
        E::Node(n, l, r) => E::Node(n - m, l.clone(), r.clone()),
    }
}

fn min(e: &E) -> u64 {
    match e {
        E::Leaf(n) => *n,
        E::Node(n, l, r) => n + min(l).min(min(r)),
    }
}

fn max(e: &E) -> u64 {
    match e {
        E::Leaf(n) => *n,
        E::Node(n, l, r) => n + max(l).max(max(r)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the paper's functions take trees")]
fn norm(n: u64, l: E, r: E) -> E {
    if let (E::Leaf(a), E::Leaf(b)) = (&l, &r)
        && a == b
    {
        return E::Leaf(n + a);
    }
    let m = min(&l).min(min(&r));
    E::Node(n + m, Box::new(sink(m, &l)), Box::new(sink(m, &r)))
}

pub(super) fn leq(a: &E, b: &E) -> bool {
    match (a, b) {
        (E::Leaf(m), _) => *m <= min_root(b),
        (E::Node(m, l, r), E::Leaf(n)) => {
            m <= n && leq(&lift(*m, l), &E::Leaf(*n)) && leq(&lift(*m, r), &E::Leaf(*n))
        }
        (E::Node(m, l1, r1), E::Node(n, l2, r2)) => {
            m <= n && leq(&lift(*m, l1), &lift(*n, l2)) && leq(&lift(*m, r1), &lift(*n, r2))
        }
    }
}

fn min_root(e: &E) -> u64 {
    match e {
        E::Leaf(n) | E::Node(n, ..) => *n,
    }
}

fn join(a: &E, b: &E) -> E {
    match (a, b) {
        (E::Leaf(m), E::Leaf(n)) => E::Leaf(*m.max(n)),
        (E::Leaf(m), b) => join(&E::Node(*m, Box::new(E::Leaf(0)), Box::new(E::Leaf(0))), b),
        (a, E::Leaf(n)) => join(a, &E::Node(*n, Box::new(E::Leaf(0)), Box::new(E::Leaf(0)))),
        (E::Node(m, ..), E::Node(n, ..)) if m > n => join(b, a),
        (E::Node(m, l1, r1), E::Node(n, l2, r2)) => {
            norm(*m, join(l1, &lift(n - m, l2)), join(r1, &lift(n - m, r2)))
        }
    }
}

fn fill(i: &I, e: &E) -> E {
    match (i, e) {
        (I::Leaf(false), e) => e.clone(),
        (I::Leaf(true), e) => E::Leaf(max(e)),
        (_, E::Leaf(n)) => E::Leaf(*n),
        (I::Node(il, ir), E::Node(n, el, er)) => match (&**il, &**ir) {
            (I::Leaf(true), ir) => {
                let er = fill(ir, er);
                norm(*n, E::Leaf(max(el).max(min(&er))), er)
            }
            (il, I::Leaf(true)) => {
                let el = fill(il, el);
                let right = E::Leaf(max(er).max(min(&el)));
                norm(*n, el, right)
            }
            (il, ir) => norm(*n, fill(il, el), fill(ir, er)),
        },
    }
}

const MANY: u64 = 1_000_000;

fn grow(i: &I, e: &E) -> (E, u64) {
    match (i, e) {
        (I::Leaf(true), E::Leaf(n)) => (E::Leaf(n + 1), 0),
        (i, E::Leaf(n)) => {
            let (e, cost) = grow(i, &E::Node(*n, Box::new(E::Leaf(0)), Box::new(E::Leaf(0))));
            (e, cost + MANY)
        }
        (I::Node(il, ir), E::Node(n, el, er)) => {
            let left = |il: &I| {
                let (e, cost) = grow(il, el);
                (E::Node(*n, Box::new(e), er.clone()), cost + 1)
            };
            let right = |ir: &I| {
                let (e, cost) = grow(ir, er);
                (E::Node(*n, el.clone(), Box::new(e)), cost + 1)
            };
            match (&**il, &**ir) {
                (I::Leaf(false), ir) => right(ir),
                (il, I::Leaf(false)) => left(il),
                (il, ir) => {
                    let (l, r) = (left(il), right(ir));
                    if l.1 < r.1 { l } else { r }
                }
            }
        }
        (I::Leaf(_), _) => panic!("a leaf of the id is over a node of the event"),
    }
}

impl Clock {
    pub(super) fn seed() -> Self {
        Self { i: I::Leaf(true), e: E::Leaf(0) }
    }

    pub(super) fn fork(&mut self) -> Self {
        let (a, b) = split(&self.i);
        self.i = a;
        Self { i: b, e: self.e.clone() }
    }

    pub(super) fn event(&mut self) {
        let filled = fill(&self.i, &self.e);
        self.e = if filled == self.e { grow(&self.i, &self.e).0 } else { filled };
    }

    pub(super) fn receive(&mut self, e: &E) {
        self.e = join(&self.e, e);
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.i = sum(&self.i, &other.i);
        self.e = join(&self.e, &other.e);
    }
}

/// The paper's binary form, a character a bit.
pub(super) fn id_bits(i: &I) -> String {
    match i {
        I::Leaf(false) => "000".into(),
        I::Leaf(true) => "001".into(),
        I::Node(l, r) => match (&**l, &**r) {
            (I::Leaf(false), r) => format!("01{}", id_bits(r)),
            (l, I::Leaf(false)) => format!("10{}", id_bits(l)),
            (l, r) => format!("11{}{}", id_bits(l), id_bits(r)),
        },
    }
}

pub(super) fn event_bits(e: &E) -> String {
    let zero = |e: &E| *e == E::Leaf(0);
    match e {
        E::Leaf(n) => format!("1{}", number_bits(*n, 2)),
        E::Node(0, l, r) if zero(l) => format!("000{}", event_bits(r)),
        E::Node(0, l, r) if zero(r) => format!("001{}", event_bits(l)),
        E::Node(0, l, r) => format!("010{}{}", event_bits(l), event_bits(r)),
        E::Node(n, l, r) if zero(l) => format!("01100{}{}", event_bits(&E::Leaf(*n)), event_bits(r)),
        E::Node(n, l, r) if zero(r) => format!("01101{}{}", event_bits(&E::Leaf(*n)), event_bits(l)),
        E::Node(n, l, r) => {
            format!("0111{}{}{}", event_bits(&E::Leaf(*n)), event_bits(l), event_bits(r))
        }
    }
}

fn number_bits(n: u64, width: usize) -> String {
    if n < 1 << width {
        format!("0{n:0width$b}")
    } else {
        format!("1{}", number_bits(n - (1 << width), width + 1))
    }
}
