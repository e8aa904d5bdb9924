//! The laws of values that merge, for texts that histories reach.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use deltaic_crdt::laws::{self, Choices, Model, Write};
use deltaic_text::{Edit, Format, Text};

struct Texts;

impl Model for Texts {
    type Value = Text;

    fn write(value: &mut Text, write: Write, choices: &mut Choices) -> Option<Text> {
        let length = value.text().unwrap().chars().count();
        let start = choices.place(length + 1);
        let end = start + choices.below(4).min((length - start) as u64) as usize;
        let edit = match choices.below(8) {
            0..5 => {
                let texts = ["a", "bc", "\u{1f980}", "e\u{301}", "\u{10348}x\u{20000}"];
                Edit::Insert(start, texts[choices.place(5)].to_owned())
            }
            5..7 => Edit::Delete(start..end),
            _ => Edit::Format(start..end, "bold".to_owned(), Format::Flag(choices.percent(50))),
        };
        value.edit(write.dot, &edit).ok()
    }
}

#[test]
fn texts_keep_the_laws() {
    let checked = laws::check::<Texts>(0..60).unwrap();
    assert!(checked.writes > 300 && checked.merges > 100 && checked.damaged > 1_000, "{checked:?}");
}
