//! CREATE ALLOCATION and DROP ALLOCATION: each query as a live view, the live view of what is given, the table of offers.
//!
//! Invariant: of each query the columns are known by name and type when it is declared, so that what could mean nothing is refused
//! there; participants are of one type in all queries, and so are the slots of one side.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_query::statement::{CreateAllocation, CreateBudget, CreateLiveView, Statement};
use deltaic_types::{
    ALLOCATIONS, ALLOCATIONS_NAME, Allocation, AllocationPolicy, AllocationSource, Catalog, DataType,
    Interval, LiveView, Offers, TableId, TableSchema, limits, text_format::quoted,
};
use sqlparser::{ast::Spanned, tokenizer::Span};

use super::{BindContext, Binder, bind};
use crate::{
    allocation::{CreateAllocation as Syntax, DropAllocation, OffersSyntax, SourceSyntax},
    error::SqlError,
    parser::{Tree, parse},
    suggestion::nearest,
};

/// The most milliseconds between two solutions: a day.
const LONGEST: i128 = 86_400_000;

/// The most microseconds that an offer waits for its answer: a hundred years.
const LONGEST_WITHIN: i128 = 100 * 366 * 86_400_000_000;

/// What a column says, by which its type is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Participant,
    Participants,
    Capacity,
    Need,
    Quantity,
    /// A number that needs not be whole.
    Number,
    Whole,
    Text,
    Texts,
    Moment,
    Truth,
}

/// A column of a query.
struct Known {
    name: &'static str,
    says: Says,
    is_needed: bool,
}

const fn needed(name: &'static str, says: Says) -> Known {
    Known { name, says, is_needed: true }
}

const fn optional(name: &'static str, says: Says) -> Known {
    Known { name, says, is_needed: false }
}

/// The columns of a query, those that it must have first.
fn known(source: AllocationSource) -> Vec<Known> {
    let slots = |slot| {
        vec![
            needed("owner", Says::Participant),
            needed("slot", slot),
            needed("quantity", Says::Quantity),
            needed("kind", Says::Text),
            optional("unit", Says::Text),
            optional("starts", Says::Moment),
            optional("ends", Says::Moment),
            optional("remote", Says::Truth),
            optional("country", Says::Text),
            optional("city", Says::Text),
            optional("latitude", Says::Number),
            optional("longitude", Says::Number),
            optional("radius", Says::Whole),
            optional("lot", Says::Quantity),
            optional("most_each", Says::Quantity),
            optional("mutual_only", Says::Truth),
            optional("least_mutual", Says::Number),
            optional("allowed", Says::Participants),
            optional("denied", Says::Participants),
            optional("required", Says::Texts),
            optional("forbidden", Says::Texts),
        ]
    };
    match source {
        AllocationSource::Capacity => slots(Says::Capacity),
        AllocationSource::Need => slots(Says::Need),
        AllocationSource::Recognition => vec![
            needed("from", Says::Participant),
            needed("to", Says::Participant),
            needed("weight", Says::Number),
        ],
        AllocationSource::Floors => vec![
            needed("owner", Says::Participant),
            needed("slot", Says::Capacity),
            needed("to", Says::Participant),
            needed("quantity", Says::Quantity),
        ],
        AllocationSource::Attributes => {
            vec![needed("owner", Says::Participant), needed("attribute", Says::Text)]
        }
        AllocationSource::Accepted => agreed(),
        AllocationSource::Held => agreed().into_iter().chain([needed("until", Says::Moment)]).collect(),
    }
}

/// A pair of slots and what it has, as the allocation's own view says it.
fn agreed() -> Vec<Known> {
    vec![
        needed("provider", Says::Participant),
        needed("capacity", Says::Capacity),
        needed("recipient", Says::Participant),
        needed("need", Says::Need),
        needed("quantity", Says::Quantity),
    ]
}

/// The types that must be the same wherever they are named.
#[derive(Debug, Default)]
struct Ids {
    participant: Option<DataType>,
    capacity: Option<DataType>,
    need: Option<DataType>,
    /// Whether each quantity so far is a whole number.
    is_whole: bool,
}

/// The type of ids of a column; integers of all widths are one.
fn id_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Smallint | DataType::Integer | DataType::Bigint => Some(DataType::Bigint),
        DataType::Text | DataType::Uuid => Some(data_type.clone()),
        _ => None,
    }
}

impl Ids {
    /// Takes a column in; what is wrong with its type otherwise.
    fn take(&mut self, says: Says, data_type: &DataType) -> Result<(), String> {
        let item = match (says, data_type) {
            (Says::Participants, DataType::Array(item)) => item,
            _ => data_type,
        };
        let fits = match says {
            Says::Participant | Says::Participants | Says::Capacity | Says::Need => {
                if says == Says::Participants && item == data_type {
                    return Err("an array of participants".to_owned());
                }
                let place = match says {
                    Says::Capacity => &mut self.capacity,
                    Says::Need => &mut self.need,
                    _ => &mut self.participant,
                };
                let Some(found) = id_type(item) else {
                    return Err("an integer, a text or a uuid".to_owned());
                };
                let known = place.get_or_insert_with(|| found.clone());
                if *known != found {
                    return Err(format!("{known} as in the queries before"));
                }
                true
            }
            Says::Quantity => {
                self.is_whole &= data_type.is_integer();
                matches!(data_type, DataType::Numeric(_)) || data_type.is_integer()
            }
            Says::Number => data_type.is_number(),
            Says::Whole => data_type.is_integer(),
            Says::Text => *data_type == DataType::Text,
            Says::Texts => *data_type == DataType::Text.array(),
            Says::Moment => *data_type == DataType::Timestamptz,
            Says::Truth => *data_type == DataType::Boolean,
        };
        let expected = match says {
            _ if fits => return Ok(()),
            Says::Quantity => "an integer or a numeric",
            Says::Number => "a number",
            Says::Whole => "an integer",
            Says::Texts => "an array of texts",
            Says::Moment => "a timestamptz",
            Says::Truth => "a boolean",
            _ => "a text",
        };
        Err(expected.to_owned())
    }
}

/// An id as the queries have it.
fn cast(text: &str, name: &str, data_type: Option<&DataType>) -> String {
    let data_type = data_type.expect("invariant: a query has named one");
    format!("CAST({text} AS {data_type}) AS {name}")
}

impl Ids {
    fn quantity(&self, text: &str, name: &str) -> String {
        if self.is_whole { format!("CAST({text} AS bigint) AS {name}") } else { format!("{text} AS {name}") }
    }
}

/// What offers are made of.
#[derive(Default)]
struct Made {
    table: Option<TableSchema>,
    views: Vec<CreateLiveView>,
    budget: Option<CreateBudget>,
}

/// What offers say instead of queries.
const OF_OFFERS: [AllocationSource; 2] = [AllocationSource::Accepted, AllocationSource::Held];

/// A live view whose text is ours.
fn own_view(catalog: &Catalog, name: String, text: String) -> Result<CreateLiveView, SqlError> {
    let parsed = parse(&text)?;
    let Some((parsed, Tree::Sql(statement))) = parsed.first().map(|parsed| (parsed, &parsed.tree)) else {
        unreachable!("invariant: it is one query");
    };
    let sqlparser::ast::Statement::Query(query) = &**statement else {
        unreachable!("invariant: it is one query");
    };
    let mut inside = Binder::new(parsed, BindContext { catalog, now: None });
    let query = inside.whole_query(query)?;
    let (tables, views) = inside.reads.into_parts();
    let columns = query.columns.iter().map(|column| column.name.clone()).collect();
    let view = LiveView { name, query: text, columns, tables, views, must_be_empty: false };
    Ok(CreateLiveView { view, query })
}

/// A definition whose text is ours.
fn own_statement(text: &str, catalog: &Catalog) -> Result<Statement, SqlError> {
    let parsed = parse(text)?;
    let parsed = parsed.first().expect("invariant: it is one statement");
    Ok(bind(parsed, &BindContext { catalog, now: None })?.statement)
}

/// The rows of an allocation by a policy.
fn is_of(name: &str, policy: AllocationPolicy) -> String {
    format!("allocation = '{}' AND policy = '{policy}'", name.replace('\'', "''"))
}

impl<'a> Binder<'a> {
    pub(super) fn create_allocation(
        &mut self,
        create: &'a Syntax,
    ) -> Result<Option<CreateAllocation>, SqlError> {
        let span = create.name.span();
        let name = self.object_name(&create.name)?;
        // Those of all clauses, so that a clause more does not make a name too long.
        let own = AllocationSource::ALL.iter().map(|source| Allocation::source_of(&name, *source));
        let longest = own.map(|name| name.len()).max().unwrap_or(0) - name.len();
        if name.len() + longest > limits::NAME_BYTES {
            let limit = limits::NAME_BYTES - longest;
            return Err(SqlError::NameTooLong { name, limit, position: self.at(span) });
        }
        let mut sources: Vec<AllocationSource> = create.sources.iter().map(|source| source.source).collect();
        if let Some(offers) = &create.offers {
            let said = create.sources.iter().find(|source| OF_OFFERS.contains(&source.source));
            if let Some(said) = said {
                let word = said.source.name().to_uppercase();
                let reason = format!("{word} is what OFFERS say: choose one of the two");
                return Err(self.bad_allocation(reason, offers.span));
            }
            sources.extend(OF_OFFERS);
        }
        let of_sources = sources.iter().map(|source| Allocation::source_of(&name, *source));
        let of_sources = of_sources
            .chain([Allocation::difference(&name)])
            .chain(create.offers.as_ref().map(|_| Allocation::offers_of(&name)));
        if let Some(taken) =
            std::iter::once(name.clone()).chain(of_sources).find(|name| self.catalog.is_taken(name))
        {
            let is_there = self.catalog.allocation(&name).is_some();
            let error = SqlError::DuplicateTable { name: taken, position: self.at(span) };
            return if create.if_not_exists && is_there { Ok(None) } else { Err(error) };
        }
        let mut ids = Ids { is_whole: true, ..Ids::default() };
        let mut views = Vec::new();
        for source in &create.sources {
            views.push(self.allocation_source(&name, source, &mut ids)?);
        }
        self.refuse_parameters("CREATE ALLOCATION")?;
        let shadow = create.shadow.as_ref().map(|(policy, _)| *policy);
        if let Some((policy, span)) = create.shadow.as_ref().filter(|(policy, _)| *policy == create.policy) {
            return Err(
                self.bad_allocation(format!("SHADOW {policy} is the policy itself: name another"), *span)
            );
        }
        let coalesce_millis = match &create.coalesce {
            Some((text, span)) => self.coalesce(text, *span)?,
            None => Allocation::COALESCE_MILLIS,
        };
        let (is_whole, policy) = (ids.is_whole, create.policy);
        let mut made = Made::default();
        if let Some(syntax) = &create.offers {
            made = self.offers(&name, syntax, &ids, &views[0])?;
            views.append(&mut made.views);
        }
        views.push(self.given_view(&name, policy, &ids)?);
        if let Some(shadow) = shadow {
            views.push(self.difference_view(&name, [policy, shadow], &ids)?);
        }
        let Made { table, budget, .. } = made;
        let offers = table
            .as_ref()
            .map(|table| Offers { table: table.id, budget: budget.as_ref().map(|create| create.budget.id) });
        let allocation = Allocation { name, sources, is_whole, policy, shadow, coalesce_millis, offers };
        Ok(Some(CreateAllocation { allocation, offers: table, views, budget }))
    }

    /// The table of offers, what it says is accepted and held, and the budget of what is promised.
    fn offers(
        &self,
        name: &str,
        syntax: &OffersSyntax,
        ids: &Ids,
        capacity: &CreateLiveView,
    ) -> Result<Made, SqlError> {
        let offers = Allocation::offers_of(name);
        if self.catalog.budget(&offers).is_some() {
            let (name, position) = (offers, self.at(syntax.span));
            return Err(SqlError::DuplicateBudget { name, position });
        }
        let answer_by = match &syntax.within {
            Some((text, span)) => {
                format!(" DEFAULT now() + INTERVAL '{} microseconds'", self.within(text, *span)?)
            }
            None => String::new(),
        };
        let of = |data_type: &Option<DataType>| data_type.clone().expect("invariant: a query has named one");
        let (participant, slot, need) = (of(&ids.participant), of(&ids.capacity), of(&ids.need));
        let (quantity, in_quotes) = (if ids.is_whole { "bigint" } else { "numeric" }, quoted(&offers));
        let table = format!(
            "CREATE TABLE {in_quotes} (id text PRIMARY KEY, provider {participant} NOT NULL, capacity {slot} NOT NULL, \
             recipient {participant} NOT NULL, need {need} NOT NULL, quantity {quantity} NOT NULL CHECK (quantity > 0), \
             state text NOT NULL DEFAULT 'offered', answer_by timestamptz{answer_by}, until timestamptz)"
        );
        let mut catalog = self.catalog.clone();
        let Statement::CreateTable(Some(table)) = own_statement(&table, &catalog)? else {
            unreachable!("invariant: the name is free");
        };
        catalog.put(table.clone()).expect("invariant: the name is free");
        let agreed = "provider, capacity, recipient, need, quantity";
        let views = vec![
            own_view(
                &catalog,
                Allocation::source_of(name, AllocationSource::Accepted),
                format!("SELECT {agreed} FROM {in_quotes} WHERE state = 'accepted'"),
            )?,
            own_view(
                &catalog,
                Allocation::source_of(name, AllocationSource::Held),
                // Of several rows of a pair one would be held, and all of these are promised.
                format!(
                    "SELECT provider, capacity, recipient, need, CAST(sum(quantity) AS {quantity}) AS quantity, \
                     max(coalesce(answer_by, TIMESTAMPTZ '9999-12-31 00:00:00+00')) AS until FROM {in_quotes} \
                     WHERE state = 'offered' GROUP BY provider, capacity, recipient, need"
                ),
            )?,
        ];
        if syntax.is_elsewhere {
            return Ok(Made { table: Some(table), views, budget: None });
        }
        catalog.put_view(capacity.view.clone()).expect("invariant: the name is free");
        // A slot that is there twice gives nothing, and nothing of it can be promised. Nothing is leased ahead, so that a capacity that
        // was cut promises nothing more from then on.
        let units = if ids.is_whole { "min(c.quantity)" } else { "floor(min(c.quantity) * 1000000)" };
        let budget = format!(
            "CREATE BUDGET {in_quotes} (KEY provider {participant}, KEY capacity {slot}, LIMIT (SELECT CASE WHEN count(*) = 1 AND \
             min(c.quantity) > 0 THEN {units} ELSE 0 END FROM {} c WHERE c.owner = provider AND c.slot = capacity)) GUARANTEE GROUP COMMIT",
            quoted(&capacity.view.name)
        );
        let Statement::CreateBudget(Some(mut budget)) = own_statement(&budget, &catalog)? else {
            unreachable!("invariant: the name is free");
        };
        budget.budget.is_of_offers = true;
        Ok(Made { table: Some(table), views, budget: Some(*budget) })
    }

    fn within(&self, text: &str, span: Span) -> Result<i128, SqlError> {
        let position = self.at(span);
        let interval = Interval::parse(text).map_err(|error| SqlError::InvalidLiteral { error, position })?;
        let micros = interval.total_micros();
        if interval.months != 0 || !(1..=LONGEST_WITHIN).contains(&micros) {
            let reason =
                "WITHIN takes a time above nothing, a hundred years at most, without months".to_owned();
            return Err(self.bad_allocation(reason, span));
        }
        Ok(micros)
    }

    /// A query as the live view that it becomes.
    fn allocation_source(
        &mut self,
        name: &str,
        source: &'a SourceSyntax,
        ids: &mut Ids,
    ) -> Result<CreateLiveView, SqlError> {
        let now = self.now.take();
        let query = self.whole_query(&source.query);
        self.now = now;
        let (query, kind) = (query?, source.source);
        let word = kind.name().to_uppercase();
        let known = known(kind);
        let mut columns: Vec<String> = Vec::new();
        for column in &query.columns {
            let Some(as_known) = known.iter().find(|known| known.name == column.name) else {
                let close = nearest(&column.name, known.iter().map(|known| known.name));
                let hint = close.map_or_else(
                    || known.iter().map(|known| known.name).collect::<Vec<_>>().join(", "),
                    |close| format!("{close}, perhaps"),
                );
                let reason = format!("{word} has no use for a column \"{}\": it knows {hint}", column.name);
                return Err(self.bad_allocation(reason, source.span));
            };
            if columns.contains(&column.name) {
                return Err(
                    self.bad_allocation(format!("{word} has two columns \"{}\"", column.name), source.span)
                );
            }
            ids.take(as_known.says, &column.data_type).map_err(|expected| {
                let reason = format!(
                    "{word}'s column \"{}\" is {}: it must be {expected}",
                    column.name, column.data_type
                );
                self.bad_allocation(reason, source.span)
            })?;
            columns.push(column.name.clone());
        }
        let lacks = |known: &&Known| known.is_needed && !columns.iter().any(|name| name == known.name);
        if let Some(lacking) = known.iter().find(lacks) {
            let all: Vec<&str> =
                known.iter().filter(|known| known.is_needed).map(|known| known.name).collect();
            let reason =
                format!("{word} lacks a column \"{}\": it must have {}", lacking.name, all.join(", "));
            return Err(self.bad_allocation(reason, source.span));
        }
        let reads = std::mem::take(&mut self.reads);
        let (tables, views) = reads.into_parts();
        if self.reads_allocations(&tables, &views) {
            let reason = format!(
                "{word} reads {ALLOCATIONS_NAME}, where what it gives would be: read another allocation by its name"
            );
            return Err(self.bad_allocation(reason, source.span));
        }
        let place = |location| self.parsed.lines.position(location).expect("invariant: it lies in the text");
        let text: String =
            self.parsed.characters(place(source.start), place(source.end)).into_iter().collect();
        let view = LiveView {
            name: Allocation::source_of(name, kind),
            query: text.trim().to_owned(),
            columns,
            tables,
            views,
            must_be_empty: false,
        };
        Ok(CreateLiveView { view, query })
    }

    /// The live view of what is given, in the types of the queries.
    fn given_view(
        &self,
        name: &str,
        policy: AllocationPolicy,
        ids: &Ids,
    ) -> Result<CreateLiveView, SqlError> {
        let columns = [
            cast("provider", "provider", ids.participant.as_ref()),
            cast("capacity", "capacity", ids.capacity.as_ref()),
            cast("recipient", "recipient", ids.participant.as_ref()),
            cast("need", "need", ids.need.as_ref()),
            "tier, kind, unit".to_owned(),
            ids.quantity("quantity", "quantity"),
            "level, reason".to_owned(),
        ];
        let text =
            format!("SELECT {} FROM {ALLOCATIONS_NAME} WHERE {}", columns.join(", "), is_of(name, policy));
        own_view(self.catalog, name.to_owned(), text)
    }

    /// The live view of what the rule beside it gives otherwise.
    fn difference_view(
        &self,
        name: &str,
        policies: [AllocationPolicy; 2],
        ids: &Ids,
    ) -> Result<CreateLiveView, SqlError> {
        let either = |column: &str| format!("coalesce(a.{column}, b.{column})");
        let columns = [
            cast(&either("provider"), "provider", ids.participant.as_ref()),
            cast(&either("capacity"), "capacity", ids.capacity.as_ref()),
            cast(&either("recipient"), "recipient", ids.participant.as_ref()),
            cast(&either("need"), "need", ids.need.as_ref()),
            ids.quantity("coalesce(a.quantity, 0)", "quantity"),
            ids.quantity("coalesce(b.quantity, 0)", "shadow"),
        ];
        let key = "provider, capacity, recipient, need";
        let [one, other] = policies.map(|policy| {
            let of = is_of(name, policy);
            format!(
                "(SELECT {key}, sum(quantity) AS quantity FROM {ALLOCATIONS_NAME} WHERE {of} GROUP BY {key})"
            )
        });
        let on =
            ["provider", "capacity", "recipient", "need"].map(|column| format!("a.{column} = b.{column}"));
        let text = format!(
            "SELECT {} FROM {one} a FULL JOIN {other} b ON {} WHERE coalesce(a.quantity, 0) <> coalesce(b.quantity, 0)",
            columns.join(", "),
            on.join(" AND ")
        );
        own_view(self.catalog, Allocation::difference(name), text)
    }

    /// Whether a query reads what all allocations give, and not through one of them by name.
    fn reads_allocations(&self, tables: &BTreeMap<TableId, usize>, views: &BTreeSet<String>) -> bool {
        let is_own = |name: &&String| self.catalog.allocation_of(name).is_none();
        let mut views = views.iter().filter(is_own).filter_map(|name| self.catalog.view(name));
        tables.contains_key(&ALLOCATIONS)
            || views.any(|view| self.reads_allocations(&view.tables, &view.views))
    }

    fn coalesce(&self, text: &str, span: Span) -> Result<u32, SqlError> {
        let position = self.at(span);
        let interval = Interval::parse(text).map_err(|error| SqlError::InvalidLiteral { error, position })?;
        let micros = interval.total_micros();
        if interval.months != 0 || micros < 0 || micros % 1_000 != 0 || micros / 1_000 > LONGEST {
            let reason = "COALESCE takes whole milliseconds, from none to '1 day'".to_owned();
            return Err(self.bad_allocation(reason, span));
        }
        Ok(u32::try_from(micros / 1_000).expect("invariant: it is a day at most"))
    }

    fn bad_allocation(&self, reason: String, span: Span) -> SqlError {
        SqlError::InvalidAllocation { reason, position: self.at(span) }
    }

    pub(super) fn drop_allocation(&mut self, drop: &'a DropAllocation) -> Result<Statement, SqlError> {
        let mut dropped = Vec::new();
        for name in &drop.names {
            let plain = self.object_name(name)?;
            if self.catalog.allocation(&plain).is_none() {
                if drop.if_exists {
                    continue;
                }
                let known = self.catalog.allocations().map(|allocation| allocation.name.as_str());
                let nearest = nearest(&plain, known);
                let position = self.at(name.span());
                return Err(SqlError::UndefinedAllocation { name: plain, nearest, position });
            }
            if !dropped.contains(&plain) {
                dropped.push(plain);
            }
        }
        Ok(Statement::DropAllocation(dropped))
    }
}
