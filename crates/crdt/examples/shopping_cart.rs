//! A cart on a phone, in a browser and on a tablet: three apples, five pears, and a lemon that is put in and taken out again
//! are 8 items on each. Run it with `cargo run -p deltaic-crdt --example shopping_cart`.

use deltaic_causality::ActorId;
use deltaic_crdt::{Plain, PnCounter, Replica, State};

/// How many of each article.
type Cart = Replica<String, Plain<PnCounter>>;

fn put(cart: &mut Cart, article: &str, count: i64) -> Result<(), deltaic_crdt::ReplicaError> {
    cart.write(&article.to_owned(), |counter, dot| counter.add(dot, count)).map(drop)
}

fn items(cart: &Cart) -> i128 {
    cart.iter().map(|(_, count)| count.value()).sum()
}

/// One device brings another what that one lacks; how many bytes that was.
fn bring(from: &Cart, to: &mut Cart) -> Result<usize, Box<dyn std::error::Error>> {
    let delta = from.delta(to.cut()).ok_or("nothing was trimmed")?;
    to.merge(&delta, from.cut())?;
    // Once more is once.
    to.merge(&delta, from.cut())?;
    Ok(delta.len())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [mut phone, mut web, mut tablet] = [1, 2, 3].map(|actor| Cart::new(ActorId(actor)));
    put(&mut phone, "apple", 3)?;
    put(&mut web, "pear", 5)?;
    put(&mut tablet, "lemon", 1)?;
    put(&mut tablet, "lemon", -1)?;
    println!(
        "apart: {} on the phone, {} in the browser, {} on the tablet",
        items(&phone),
        items(&web),
        items(&tablet)
    );

    // The phone meets the tablet, the tablet the browser, and that one the phone, and does not hear of its own apples.
    println!("phone to tablet: {} bytes", bring(&phone, &mut tablet)?);
    println!("tablet to browser: {} bytes", bring(&tablet, &mut web)?);
    println!("browser to phone: {} bytes", bring(&web, &mut phone)?);
    println!("browser to tablet: {} bytes", bring(&web, &mut tablet)?);

    for (name, cart) in [("phone", &phone), ("browser", &web), ("tablet", &tablet)] {
        println!("{name}: {} items", items(cart));
        assert_eq!(items(cart), 8);
    }
    assert!(phone.digest() == web.digest() && web.digest() == tablet.digest(), "one state everywhere");
    assert_eq!(phone.get("lemon").map(|count| count.value()), Some(0));
    Ok(())
}
