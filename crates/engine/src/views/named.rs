//! Live views by name: CREATE LIVE VIEW keeps a result whether or not anybody watches it.
//!
//! Invariant: after each commit the results of the catalog's views are there, but for those that could not be computed or
//! grew beyond their limit; whoever subscribes to such a view's rows is told why, as with any query.

use deltaic_types::{limits, text_format};

use super::{Opened, Place, ViewId, Views, Waiting};
use crate::{
    error::RequestError,
    input::{Claims, Now},
    life::Life,
    parameters::Given,
    tables::Tables,
    work::Work,
};

impl Views {
    /// Computes the results of views that are new in the catalog, and gives up those of views that have gone. Large ones are
    /// computed beside the commits, if that may be: then their names are kept when that is done.
    pub(crate) fn keep_named(
        &mut self,
        tables: &mut Tables,
        place: &Place<'_>,
        now: Now,
        is_beside: bool,
    ) -> Vec<Work> {
        let gone: Vec<(String, ViewId)> = self
            .named
            .iter()
            .filter(|(name, _)| tables.catalog().view(name).is_none())
            .map(|(name, view)| (name.clone(), *view))
            .collect();
        for (name, view) in gone {
            self.named.remove(&name);
            let entry = self.by_id.get_mut(&view).expect("invariant: a named view is there");
            entry.names.remove(&name);
            if entry.subscribers.is_empty() && entry.names.is_empty() {
                self.idle.put(view, Life::Ephemeral, now, entry.bytes);
            }
        }
        let fresh: Vec<String> = tables
            .catalog()
            .views()
            .filter(|view| !self.named.contains_key(&view.name) && !self.unnamed.contains(&view.name))
            .filter(|view| !self.hydrating.has_name(&view.name))
            .map(|view| view.name.clone())
            .collect();
        let mut works = Vec::new();
        for name in fresh {
            let sql = format!("SELECT * FROM {}", text_format::quoted(&name));
            match self.open_named(&name, &sql, tables, place, is_beside) {
                Ok(Opened::View(view)) => {
                    self.idle.take(view);
                    let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
                    entry.names.insert(name.clone());
                    self.named.insert(name, view);
                }
                Ok(Opened::Later(work)) => works.extend(work.map(Work::Hydration)),
                Ok(Opened::Tuple(_)) => unreachable!("invariant: a named view has no parameters"),
                Err(_) => {
                    self.unnamed.insert(name);
                }
            }
        }
        works
    }

    /// The view of a named query. A large one is computed beside the commits where that may be.
    fn open_named(
        &mut self,
        name: &str,
        sql: &str,
        tables: &mut Tables,
        place: &Place<'_>,
        is_beside: bool,
    ) -> Result<Opened, RequestError> {
        let given = Given { parameters: &[], claims: &Claims::new() };
        let form = self.form(sql, given, tables)?;
        if is_beside && !self.by_key.contains_key(&form.key) && form.rows(tables) > self.slice.rows {
            let waiting = Waiting::Name(name.to_owned());
            return self.begin(form, waiting, tables, place).map(Opened::Later);
        }
        self.open_form(&form, sql, tables, place, limits::JOINED_ROWS).map(Opened::View)
    }

    /// A name's view could not be computed; with the next definition it is tried again.
    pub(crate) fn give_up_name(&mut self, name: String) {
        self.unnamed.insert(name);
    }

    /// Definitions have changed: what could not be computed is tried again.
    pub(crate) fn retry_names(&mut self) {
        self.unnamed.clear();
    }
}
