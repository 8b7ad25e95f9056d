// Wraps Microsoft's parser and binder for KQL as the reference for validity: npm `@kusto/language-service-next`, a development dependency
// installed in a git-ignored folder (see `differential`) and never shipped.
//
//   const { Official } = require("./official.js");
//   const judge = new Official(folderOfThePackage, tables, functions);
//   judge.of(query) → { errors: [{ code, message, start, end }], columns: [[name, type]] | null }
//
// The package consists of two scripts that must be loaded as scripts, not as modules. `columns` is null if the schema is open.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

class Official {
  /** `tables`: {"Table": [["Column", "type"], …]}; `open`: functions of an alias and keys that return a table with
   *  at least these columns, {"Function": […]}. */
  constructor(folder, tables, open = {}) {
    for (const script of ["bridge.js", "Kusto.Language.Bridge.js"]) {
      vm.runInThisContext(fs.readFileSync(path.join(folder, script), "utf8"), { filename: script });
    }
    const kusto = globalThis.Kusto.Language;
    const symbols = kusto.Symbols;
    this.kusto = kusto;
    const type = (name) => symbols.ScalarTypes.GetSymbol(spelled(name)) || symbols.ScalarTypes.Dynamic;
    const column = ([name, ty]) => new symbols.ColumnSymbol(name, type(ty), null, null, null, null);
    const members = Object.entries(tables).map(([name, columns]) => new symbols.TableSymbol.$ctor4(name, columns.map(column)));
    for (const [name, columns] of Object.entries(open)) {
      const table = new symbols.TableSymbol.ctor(columns.map(column)).WithIsOpen(true);
      const alias = new symbols.Parameter.$ctor2("alias", symbols.ScalarTypes.String);
      const keys = new symbols.Parameter.$ctor3("keys", symbols.ScalarTypes.Dynamic, 0, null, null, false, null, 0, 1, null, null);
      members.push(new symbols.FunctionSymbol.$ctor5(name, table, [alias, keys]));
    }
    const database = new symbols.DatabaseSymbol.ctor("db", members);
    const cluster = new symbols.ClusterSymbol.ctor("cluster", [database]);
    this.globals = kusto.GlobalState.Default.WithCluster(cluster).WithDatabase(database);
  }

  of(query) {
    const code = this.kusto.KustoCode.ParseAndAnalyze(query, this.globals);
    const errors = [];
    const found = code.GetDiagnostics();
    for (let at = 0; at < found.Count; at++) {
      const one = found.getItem(at);
      if (one.Severity !== "Error") continue;
      errors.push({ code: one.Code, message: one.Message, start: one.Start, end: one.End });
    }
    const result = code.ResultType;
    let columns = null;
    if (result && result.Columns) {
      columns = [];
      for (let at = 0; at < result.Columns.Count; at++) {
        const one = result.Columns.getItem(at);
        columns.push([one.Name, one.Type ? one.Type.Name : "unknown"]);
      }
    }
    return { errors, columns, open: Boolean(result && result.IsOpen) };
  }
}

/** Published schemas use nonstandard names for some types. */
function spelled(name) {
  const known = { sbyte: "bool", boolean: "bool", integer: "int", bigint: "long", double: "real", "system.string": "string" };
  const lower = name.trim().toLowerCase();
  return known[lower] || lower;
}

module.exports = { Official };
