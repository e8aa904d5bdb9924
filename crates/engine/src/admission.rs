//! Admission: a request's statements, run as one transaction on a snapshot.
//!
//! What comes out is a transaction that broke no constraint, or the reason why nothing was done. Statements
//! are bound one after the other, so each sees the definitions made before it.

use deltaic_query::{
    plan::{Query, ResultColumn},
    statement::Statement,
    template::bind_parameters,
};
use deltaic_sql::{BindContext, Bound, bind, parse};
use deltaic_types::{DataType, Row, Value};

use crate::{
    ddl, dml,
    error::RequestError,
    explain::explain,
    input::Request,
    parameters::{Given, bind_statement},
    read,
    transaction::Transaction,
};

/// The result of a statement, before the lsn is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StatementResult {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) rows: Vec<Row>,
    pub(crate) rows_affected: u64,
}

/// Whether a transaction that succeeded is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Commit,
    Rollback,
}

/// Runs a request's statements. The result is that of the last one that ends no transaction; what
/// was taken back counts no rows.
pub(crate) fn run(
    transaction: &mut Transaction<'_>,
    request: &Request,
) -> Result<(StatementResult, Verdict), RequestError> {
    let statements = parse(&request.sql)?;
    let count = statements.len();
    let mut result = StatementResult::default();
    let mut verdict = Verdict::Commit;
    let mut open = false;
    let mut used = 0;
    let given = Given { parameters: &request.parameters, claims: &request.claims };
    for (place, parsed) in statements.iter().enumerate() {
        let context = BindContext { catalog: transaction.tables.catalog(), now: Some(transaction.now.0) };
        let bound = bind(parsed, &context)?;
        let values = given.values(&bound)?;
        used = used.max(bound.parameters.len());
        if count == 1 {
            bound.check_gaps()?;
            check_count(used, request.parameters.len())?;
        }
        match bound.statement {
            Statement::Begin if place == 0 => open = true,
            Statement::Begin => return Err(RequestError::Transaction { statement: "BEGIN" }),
            Statement::Commit if open && place + 1 == count => open = false,
            Statement::Commit => return Err(RequestError::Transaction { statement: "COMMIT" }),
            Statement::Rollback if open && place + 1 == count => {
                open = false;
                verdict = Verdict::Rollback;
                if result.columns.is_empty() {
                    result.rows_affected = 0;
                }
            }
            Statement::Rollback => return Err(RequestError::Transaction { statement: "ROLLBACK" }),
            _ => result = execute(transaction, bind_statement(bound, &values))?,
        }
    }
    if open {
        return Err(RequestError::Transaction { statement: "BEGIN" });
    }
    check_count(used, request.parameters.len())?;
    Ok((result, verdict))
}

fn execute(transaction: &mut Transaction<'_>, statement: Statement) -> Result<StatementResult, RequestError> {
    let done = |()| StatementResult::default();
    if is_definition(&statement) {
        transaction.expect_definition()?;
    }
    match statement {
        Statement::Query(query) => {
            let rows = read::rows(&query, transaction)?;
            let rows_affected = rows.len() as u64;
            Ok(StatementResult { columns: query.columns, rows, rows_affected })
        }
        Statement::Explain(statement) => explain(transaction, &statement),
        Statement::Insert(insert) => dml::insert(transaction, &insert).map(written),
        Statement::Update(update) => dml::update(transaction, &update).map(written),
        Statement::Delete(delete) => dml::delete(transaction, &delete).map(written),
        Statement::CreateTable(Some(table)) => transaction.define(table).map(done),
        Statement::DropTable(tables) => ddl::drop_tables(transaction, &tables).map(done),
        Statement::AddColumn(Some(add)) => ddl::add_column(transaction, &add).map(done),
        Statement::CreateIndex(Some(create)) => ddl::create_index(transaction, &create).map(done),
        Statement::CreateLiveView(Some(create)) => ddl::create_live_view(transaction, &create).map(done),
        Statement::DropLiveView(names) => ddl::drop_live_views(transaction, &names).map(done),
        Statement::DropIndex(indexes) => ddl::drop_indexes(transaction, &indexes).map(done),
        Statement::CreateTable(None)
        | Statement::AddColumn(None)
        | Statement::CreateIndex(None)
        | Statement::CreateLiveView(None)
        | Statement::Begin
        | Statement::Commit
        | Statement::Rollback => Ok(StatementResult::default()),
    }
}

/// Whether a statement defines something and looks at whole tables for it between two inputs. A live view is defined anywhere.
fn is_definition(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateTable(Some(_))
            | Statement::DropTable(_)
            | Statement::AddColumn(Some(_))
            | Statement::CreateIndex(Some(_))
            | Statement::DropLiveView(_)
            | Statement::DropIndex(_)
    )
}

fn written(written: dml::Written) -> StatementResult {
    StatementResult { columns: written.columns, rows: written.rows, rows_affected: written.count }
}

/// Every value that is given has its place in some statement.
fn check_count(expected: usize, given: usize) -> Result<(), RequestError> {
    if expected == given { Ok(()) } else { Err(RequestError::Parameters { expected, given }) }
}

/// One SELECT, bound for a live result: nothing in it depends on the time of its evaluation.
pub(crate) fn bind_live(
    sql: &str,
    given: Given<'_>,
    catalog: &deltaic_types::Catalog,
) -> Result<(Query, Vec<DataType>, Vec<Value>), RequestError> {
    let statements = parse(sql)?;
    let [parsed] = &statements[..] else { return Err(RequestError::NotAQuery) };
    let bound = bind(parsed, &BindContext { catalog, now: None })?;
    bound.check_gaps()?;
    let Bound { statement: Statement::Query(query), .. } = &bound else {
        return Err(RequestError::NotAQuery);
    };
    let values = given.values(&bound)?;
    check_count(bound.parameters.len(), given.parameters.len())?;
    let mut types: Vec<DataType> = bound.parameters.iter().flatten().cloned().collect();
    if !bound.claims.names.is_empty() {
        types.resize(bound.claims.base, DataType::Text);
        types.extend(bound.claims.names.iter().map(|(_, data_type)| data_type.clone()));
    }
    Ok((query.clone(), types, values))
}

/// A query with constants in place of its parameters.
pub(crate) fn with_constants(query: &Query, values: &[Value]) -> Query {
    Query { plan: bind_parameters(&query.plan, values), ..query.clone() }
}
