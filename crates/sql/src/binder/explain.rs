//! EXPLAIN and its options, as PostgreSQL writes them: `EXPLAIN ANALYZE …`, `EXPLAIN (ANALYZE, FORMAT JSON) …`.

use deltaic_query::statement::{Explain, Statement};
use sqlparser::ast::{self, Spanned, UtilityOption};

use super::{Binder, folded};
use crate::error::SqlError;

impl<'a> Binder<'a> {
    pub(super) fn explain(
        &mut self,
        statement: &'a ast::Statement,
        analyze: bool,
        options: Option<&'a [UtilityOption]>,
    ) -> Result<Statement, SqlError> {
        let ast::Statement::Query(query) = statement else {
            return Err(self.refuse("EXPLAIN of anything but a query", None, statement.span()));
        };
        let (mut analyze, mut json) = (analyze, false);
        for option in options.unwrap_or_default() {
            let word = option.arg.as_ref().map(|arg| arg.to_string().to_lowercase());
            match (folded(&option.name).as_str(), word.as_deref()) {
                ("analyze", None | Some("true" | "on" | "1")) => analyze = true,
                ("analyze", Some("false" | "off" | "0")) => analyze = false,
                ("format", Some("json")) => json = true,
                ("format", Some("text")) => json = false,
                _ => {
                    let instead = "There are ANALYZE and FORMAT TEXT or JSON.";
                    let what = format!("the option {option} of EXPLAIN");
                    return Err(self.refuse(&what, Some(instead), option.name.span));
                }
            }
        }
        Ok(Statement::Explain(Explain { query: self.whole_query(query)?, analyze, json }))
    }
}
