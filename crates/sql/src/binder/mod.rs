//! From syntax to bound statements: names become places, every node gets its type, every coercion a cast.
//!
//! Invariant: what leaves here can be run as it is: operands have the types their operators ask for, and
//! constants are folded. Recursion follows the syntax tree, whose depth the parser bounds, and is counted
//! again here against [`limits::EXPRESSION_DEPTH`].

mod aggregate;
mod allocation;
mod budget;
mod call;
mod claim;
mod coercion;
mod constraint;
mod ddl;
mod dml;
mod explain;
mod expression;
mod from;
mod live_view;
mod merging;
mod mutual;
mod operator;
mod query;
mod recursive;
mod scope;
mod select;
mod stored;
mod subquery;
mod traverse;
mod types;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use deltaic_query::statement::Statement;
use deltaic_types::{Catalog, DataType, TableId, TableSchema, limits, system_table, system_tables};
use sqlparser::{
    ast::{self, Ident, ObjectName, ObjectNamePart, Spanned},
    tokenizer::Span,
};

use aggregate::Aggregates;
pub use stored::{bind_check, bind_custom, bind_default};
use subquery::Frame;
use window::Windows;

use crate::{
    bound::Bound,
    error::SqlError,
    parser::{Parsed, Tree},
    suggestion::nearest,
};

/// What a statement is bound against.
#[derive(Debug, Clone, Copy)]
pub struct BindContext<'a> {
    /// The tables there are.
    pub catalog: &'a Catalog,
    /// The time that `now()` gives, in microseconds; None for a live query, which must not ask for it.
    pub now: Option<i64>,
}

/// Binds a statement. Parameters get the types that their places ask for.
pub fn bind(parsed: &Parsed, context: &BindContext<'_>) -> Result<Bound, SqlError> {
    if let Some(consumption) = budget::consumption(parsed, context) {
        return consumption;
    }
    let mut binder = Binder::new(parsed, *context);
    let statement = match &parsed.tree {
        Tree::Sql(statement) => binder.statement(statement)?,
        Tree::CreateBudget(create) => Statement::CreateBudget(binder.create_budget(create)?.map(Box::new)),
        Tree::DropBudget(drop) => binder.drop_budget(drop)?,
        Tree::CreateAllocation(create) => {
            Statement::CreateAllocation(binder.create_allocation(create)?.map(Box::new))
        }
        Tree::DropAllocation(drop) => binder.drop_allocation(drop)?,
    };
    let claims = binder.claim_names();
    let parameters = binder.finish()?;
    Ok(Bound { statement, parameters, claims })
}

/// The most queries that common table expressions may be written out to.
const INLINED_QUERIES: usize = 256;

/// A common table expression: its text is bound where it is used.
#[derive(Clone, Copy)]
struct CommonTable<'a> {
    cte: &'a ast::Cte,
    /// How many of the others it sees.
    visible: usize,
    /// How many levels there are around it.
    frames: usize,
    /// Whether it stands in a WITH RECURSIVE, and so may read itself.
    recursive: bool,
}

/// The state of binding one statement.
struct Binder<'a> {
    parsed: &'a Parsed,
    catalog: &'a Catalog,
    now: Option<i64>,
    /// The type of each parameter, once known, and where it was first seen.
    parameters: Vec<Option<(Option<DataType>, Span)>>,
    /// The claims of the session that were read, in which types, and where each was first seen.
    claims: Vec<(String, DataType, Span)>,
    aggregates: Aggregates,
    windows: Windows<'a>,
    common_tables: Vec<CommonTable<'a>>,
    /// The query levels around what is being bound, the outermost first.
    frames: Vec<Frame>,
    /// The first frame of the FROM clause that is being bound.
    from_base: usize,
    /// The place that is being bound, where it allows no subqueries.
    no_subqueries: Option<&'static str>,
    /// The common tables of WITH RECURSIVE that are being bound, the innermost last.
    open: Vec<recursive::Open>,
    /// Tables of one WITH RECURSIVE that were found to read each other, and are to be bound together.
    mutual: Option<BTreeSet<usize>>,
    depth: usize,
    inlined: usize,
    reads: live_view::Reads,
    /// In the query of a budget's limit: the key that it may name.
    key_names: Option<budget::KeyNames>,
    /// In the text of a view: how many columns of each table it sees.
    seen: Option<&'a BTreeMap<TableId, usize>>,
}

impl<'a> Binder<'a> {
    fn new(parsed: &'a Parsed, context: BindContext<'a>) -> Self {
        Self {
            parsed,
            catalog: context.catalog,
            now: context.now,
            parameters: Vec::new(),
            claims: Vec::new(),
            aggregates: Aggregates::Forbidden("this place"),
            windows: Windows::Forbidden("this place"),
            common_tables: Vec::new(),
            frames: Vec::new(),
            from_base: 0,
            no_subqueries: None,
            open: Vec::new(),
            mutual: None,
            depth: 0,
            inlined: 0,
            reads: live_view::Reads::default(),
            key_names: None,
            seen: None,
        }
    }

    fn finish(self) -> Result<Vec<Option<DataType>>, SqlError> {
        let parsed = self.parsed;
        self.parameters
            .into_iter()
            .enumerate()
            .map(|(index, parameter)| match parameter {
                Some((None, span)) => Err(SqlError::IndeterminateParameter {
                    number: index + 1,
                    position: parsed.position(span),
                }),
                Some((known, _)) => Ok(known),
                None => Ok(None),
            })
            .collect()
    }

    fn statement(&mut self, ast: &'a ast::Statement) -> Result<Statement, SqlError> {
        Ok(match ast {
            ast::Statement::Query(query) => Statement::Query(self.whole_query(query)?),
            ast::Statement::Explain { statement, analyze, options, .. } => {
                self.explain(statement, *analyze, options.as_deref())?
            }
            ast::Statement::Insert(insert) => Statement::Insert(self.insert(insert)?),
            ast::Statement::Update(update) => Statement::Update(self.update(update)?),
            ast::Statement::Delete(delete) => Statement::Delete(self.delete(delete)?),
            ast::Statement::CreateTable(create) => Statement::CreateTable(self.create_table(create)?),
            ast::Statement::CreateView(create) => {
                Statement::CreateLiveView(self.create_live_view(create)?.map(Box::new))
            }
            ast::Statement::AlterTable(alter) => Statement::AddColumn(self.alter_table(alter)?),
            ast::Statement::CreateIndex(create) => Statement::CreateIndex(self.create_index(create)?),
            ast::Statement::Drop { object_type, if_exists, names, cascade, .. } => {
                self.drop_objects(*object_type, *if_exists, names, *cascade)?
            }
            ast::Statement::StartTransaction { .. } => Statement::Begin,
            ast::Statement::Commit { .. } => Statement::Commit,
            ast::Statement::Rollback { savepoint: None, .. } => Statement::Rollback,
            other => {
                let words: Vec<String> = other
                    .to_string()
                    .split(|c: char| !c.is_ascii_alphabetic())
                    .take_while(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()))
                    .take(2)
                    .map(str::to_owned)
                    .collect();
                return Err(self.refuse(&format!("the statement {}", words.join(" ")), None, other.span()));
            }
        })
    }

    /// The position of a part of the syntax tree.
    fn at(&self, span: Span) -> Option<usize> {
        self.parsed.position(span)
    }

    fn refuse(&self, what: &str, instead: Option<&str>, span: Span) -> SqlError {
        SqlError::NotSupported {
            what: what.to_owned(),
            instead: instead.map(str::to_owned),
            position: self.at(span),
        }
    }

    /// Goes one level deeper into the tree, if the limit allows.
    fn nested<T>(&mut self, within: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth >= limits::EXPRESSION_DEPTH {
            return Err(SqlError::TooComplex { what: "expressions are nested too deep", position: None });
        }
        self.depth += 1;
        let result = within(self);
        self.depth -= 1;
        result
    }

    /// The plain name in an object name: `t` or `public.t`.
    fn object_name(&self, name: &ObjectName) -> Result<String, SqlError> {
        let parts: Vec<&Ident> = name
            .0
            .iter()
            .filter_map(|part| if let ObjectNamePart::Identifier(ident) = part { Some(ident) } else { None })
            .collect();
        match parts[..] {
            [one] if name.0.len() == 1 => self.folded_within_limit(one),
            [schema, one] if name.0.len() == 2 && folded(schema) == "public" => self.folded_within_limit(one),
            [schema, one] if name.0.len() == 2 && folded(schema) == "deltaic" => {
                let whole = format!("deltaic.{}", folded(one));
                let is_there = system_tables().iter().any(|table| table.schema.name == whole);
                if is_there { Ok(whole) } else { Err(self.refuse_schema(name)) }
            }
            _ => Err(self.refuse_schema(name)),
        }
    }

    fn refuse_schema(&self, name: &ObjectName) -> SqlError {
        let own: Vec<&str> = system_tables().iter().map(|table| table.schema.name.as_str()).collect();
        let (last, others) = own.split_last().expect("invariant: there are tables of the engine's own");
        let own = format!("{} and {last}", others.join(", "));
        let instead = format!("Write the table's name alone. Of the engine's own there are {own}.");
        let what = format!("the name {name}: there is one schema, public");
        self.refuse(&what, Some(&instead), name.span())
    }

    /// A name that is to be given to something.
    fn folded_within_limit(&self, ident: &Ident) -> Result<String, SqlError> {
        let name = folded(ident);
        if name.is_empty() {
            let message = "a name in quotes has at least one character".to_owned();
            return Err(SqlError::Syntax { message, position: self.at(ident.span) });
        }
        if name.len() > limits::NAME_BYTES {
            return Err(SqlError::NameTooLong {
                name,
                limit: limits::NAME_BYTES,
                position: self.at(ident.span),
            });
        }
        Ok(name)
    }

    /// A table that statements may write or change.
    fn table(&self, name: &ObjectName) -> Result<&'a TableSchema, SqlError> {
        let table = self.any_table(name)?;
        if let Some(system) = system_table(table.id) {
            let what = format!("a change of {}", table.name);
            return Err(self.refuse(&what, Some(system.instead), name.span()));
        }
        Ok(table)
    }

    fn any_table(&self, name: &ObjectName) -> Result<&'a TableSchema, SqlError> {
        let plain = self.object_name(name)?;
        if self.catalog.view(&plain).is_some() {
            return Err(SqlError::NotATable { name: plain, position: self.at(name.span()) });
        }
        self.catalog.table(&plain).ok_or_else(|| self.undefined_table(plain, name.span()))
    }

    fn undefined_table(&self, name: String, span: Span) -> SqlError {
        let tables = self.catalog.tables().map(|table| table.name.as_str());
        let nearest = nearest(&name, tables.chain(self.catalog.views().map(|view| view.name.as_str())));
        SqlError::UndefinedTable { name, nearest, position: self.at(span) }
    }

    /// The place of a table's column.
    fn table_column(&self, table: &TableSchema, ident: &Ident) -> Result<usize, SqlError> {
        let name = folded(ident);
        table.column(&name).ok_or_else(|| {
            let nearest = nearest(&name, table.visible().map(|place| table.columns[place].name.as_str()));
            SqlError::UndefinedColumn { name, nearest, position: self.at(ident.span) }
        })
    }
}

/// A name as SQL folds it: to lower case unless quoted.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests;
