//! Live views by name: CREATE LIVE VIEW keeps a result whether or not anybody watches it.
//!
//! Invariant: after each commit the results of the catalog's views are there, but for those that could not be computed or
//! grew beyond their limit; whoever subscribes to such a view's rows is told why, as with any query.

use super::{Place, ViewId, Views};
use crate::{input::Now, life::Life, tables::Tables};

impl Views {
    /// Computes the results of views that are new in the catalog, and gives up those of views that have gone.
    pub(crate) fn keep_named(&mut self, tables: &mut Tables, place: &Place<'_>, now: Now) {
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
            .filter(|view| !self.named.contains_key(&view.name))
            .map(|view| view.name.clone())
            .collect();
        for name in fresh {
            let sql = format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""));
            let Ok(view) = self.open_query(&sql, tables, place) else { continue };
            self.idle.take(view);
            let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
            entry.names.insert(name.clone());
            self.named.insert(name, view);
        }
    }
}
