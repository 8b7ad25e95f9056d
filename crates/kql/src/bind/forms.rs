//! Documentation of calls with special grammar or binding rules, because their arguments are not values. They are bound in `calls`,
//! `source` and the parser.

/// A call with special rules.
pub struct Form {
    pub name: &'static str,
    /// With parameters, for example `toscalar(query)`.
    pub signature: &'static str,
    pub summary: &'static str,
    /// True if it returns a table.
    pub tabular: bool,
    /// A query and the value of its last row's last cell as formatted by `tostring`; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

/// All special forms, in alphabetical order.
pub const FORMS: &[Form] = &[
    Form {
        name: "column_ifexists",
        signature: "column_ifexists(column: string, default): scalar",
        summary: "Gives the column of that name where the table has it, otherwise the default",
        tabular: false,
        examples: &[("print a = 1 | project b = column_ifexists('missing', a + 1)", "2")],
    },
    Form {
        name: "datatable",
        signature: "datatable (column: type, …) [literal, …]",
        summary: "Gives a table of literals",
        tabular: true,
        examples: &[("datatable (name: string, n: long) ['a', 1, 'b', 2]", "2")],
    },
    Form {
        name: "dynamic",
        signature: "dynamic(json): dynamic",
        summary: "Gives a literal of an array, a bag or any other JSON",
        tabular: false,
        examples: &[("print dynamic({\"a\": [1, 2]}).a[1]", "2")],
    },
    Form {
        name: "externaldata",
        signature: "externaldata (column: type, …) [address, …] [with (format = name, …)]",
        summary: "Gives a table read from an address outside",
        tabular: true,
        examples: &[],
    },
    Form {
        name: "ingestion_time",
        signature: "ingestion_time(): datetime",
        summary: "Gives the moment at which the row came into its table; null where that is not known",
        tabular: false,
        examples: &[("print isnull(ingestion_time())", "True")],
    },
    Form {
        name: "materialize",
        signature: "materialize(query)",
        summary: "Computes a table once, however often it is used",
        tabular: true,
        examples: &[("let T = materialize(range x from 1 to 3 step 1); union T, T | count", "6")],
    },
    Form {
        name: "pack_all",
        signature: "pack_all([ignore_null_empty: bool]): dynamic",
        summary: "Gives a bag of all columns of the row",
        tabular: false,
        examples: &[("print a = 1, b = 'x' | project pack_all().b", "x")],
    },
    Form {
        name: "table",
        signature: "table(name: string)",
        summary: "Gives the table of that name, which `let`s do not hide",
        tabular: true,
        examples: &[],
    },
    Form {
        name: "toscalar",
        signature: "toscalar(query): scalar",
        summary: "Gives the first value of the first row of a query",
        tabular: false,
        examples: &[("print toscalar(range x from 5 to 7 step 1)", "5")],
    },
    Form {
        name: "typeof",
        signature: "typeof(type)",
        summary: "Names a type, where a function or an operator asks for one",
        tabular: false,
        examples: &[],
    },
];
