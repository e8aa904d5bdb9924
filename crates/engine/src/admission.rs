//! Admission: a request's statements, run as one transaction on a snapshot.
//!
//! What comes out is a transaction that broke no constraint, or the reason why nothing was done. Statements
//! are bound one after the other, so each sees the definitions made before it.

use deltaic_query::{
    plan::{Query, ResultColumn},
    statement::{Consumption, Statement},
    template::bind_parameters,
};
use deltaic_sql::{BindContext, Bound, bind, parse};
use deltaic_types::{DataType, Row, Value, limits};

use crate::{
    budgets::{ConsumeError, Grant, amount},
    ddl, dml,
    error::RequestError,
    explain::explain,
    input::Request,
    mesh::settling::settle,
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
    if verdict == Verdict::Commit {
        settle(transaction)?;
    }
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
        Statement::CreateBudget(Some(create)) => ddl::create_budget(transaction, &create).map(done),
        Statement::DropBudget(names) => ddl::drop_budgets(transaction, &names).map(done),
        Statement::CreateAllocation(Some(create)) => ddl::create_allocation(transaction, &create).map(done),
        Statement::DropAllocation(names) => ddl::drop_allocations(transaction, &names).map(done),
        Statement::Consume(consumption) => consume(transaction, &consumption),
        Statement::CreateTable(None)
        | Statement::AddColumn(None)
        | Statement::CreateIndex(None)
        | Statement::CreateLiveView(None)
        | Statement::CreateBudget(None)
        | Statement::CreateAllocation(None)
        | Statement::Begin
        | Statement::Commit
        | Statement::Rollback => Ok(StatementResult::default()),
    }
}

/// A SELECT that consumes, row by row. Each call gives what is still available behind it.
fn consume(
    transaction: &mut Transaction<'_>,
    consumption: &Consumption,
) -> Result<StatementResult, RequestError> {
    let Consumption { query, calls } = consumption;
    let rows = read::rows(query, transaction)?;
    let mut columns = Vec::new();
    let mut place = 0;
    let mut next = calls.iter().peekable();
    while place < query.columns.len() {
        if let Some(call) = next.next_if(|call| call.column == place) {
            columns.push(ResultColumn { name: call.name.clone(), data_type: DataType::Bigint });
            place += call.key + 1;
        } else {
            columns.push(query.columns[place].clone());
            place += 1;
        }
    }
    let mut results = Vec::with_capacity(rows.len());
    for row in rows {
        let (mut values, mut rest) = (Vec::with_capacity(columns.len()), 0);
        for call in calls {
            values.extend_from_slice(&row[rest..call.column]);
            rest = call.column + call.key + 1;
            let key = &row[call.column..rest - 1];
            let budget = transaction.tables.catalog().budgets().find(|budget| budget.id == call.budget);
            let budget = budget.expect("invariant: a bound budget is in the catalog");
            let name = budget.name.clone();
            if budget.is_of_offers {
                return Err(ConsumeError::OfOffers { budget: name }.into());
            }
            if let Some(place) = key.iter().position(Value::is_null) {
                let column = budget.key[place].name.clone();
                return Err(ConsumeError::NullKey { budget: name, column }.into());
            }
            let units = match row[rest - 1] {
                Value::Integer(units) => amount(units)?,
                _ => return Err(ConsumeError::NullAmount.into()),
            };
            let key = key.iter().cloned().collect();
            if transaction.purse.len() >= limits::CONSUMED {
                let (rows, limit) = (transaction.purse.len() + 1, limits::CONSUMED);
                return Err(RequestError::TooManyRows { rows, limit });
            }
            let balance = transaction.purse.consume(Grant { budget: call.budget, name, key, units });
            // What was not admitted is asked for with all the rest of the statement.
            let available = balance.unwrap_or_default().available;
            values.push(Value::Integer(i64::try_from(available.0).unwrap_or(i64::MAX)));
        }
        values.extend_from_slice(&row[rest..]);
        results.push(Row::from(values));
    }
    if transaction.purse.is_short() {
        return Err(RequestError::NotAdmitted);
    }
    let rows_affected = results.len() as u64;
    Ok(StatementResult { columns, rows: results, rows_affected })
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
            | Statement::DropBudget(_)
            | Statement::DropAllocation(_)
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
