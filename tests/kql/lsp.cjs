// Tests the language server with Microsoft's client libraries, the npm packages `vscode-languageserver-protocol` (typed requests) and
// `vscode-jsonrpc` (framing), which editors also use. Usage: lsp.cjs MODULES BARTIZAN
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const assert = require('node:assert/strict');

const [modules, bartizan] = process.argv.slice(2);
const lsp = require(require.resolve('vscode-languageserver-protocol/node', { paths: [path.resolve(modules)] }));

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kql-lsp-'));
const schema = path.join(folder, 'tables.json');
fs.writeFileSync(schema, JSON.stringify({
  Signins: [['TimeGenerated', 'datetime'], ['User', 'string'], ['Bytes', 'long'], ['Details', 'dynamic']],
  Hosts: [['User', 'string'], ['Host', 'string']],
}));

const server = spawn(bartizan, ['lsp', '--stdio', '--schema', schema], { stdio: ['pipe', 'pipe', 'inherit'] });
const connection = lsp.createProtocolConnection(new lsp.StreamMessageReader(server.stdout), new lsp.StreamMessageWriter(server.stdin));
const waiting = new Map();
connection.onNotification(lsp.PublishDiagnosticsNotification.type, (params) => {
  for (const [key, wait] of waiting) {
    if (wait.wanted(params)) { waiting.delete(key); wait.resolve(params.diagnostics); }
  }
});
connection.listen();

let passed = 0;
const check = (name, test) => Promise.resolve().then(test).then(() => { passed += 1; console.log(`ok    ${name}`); });
const uri = 'file:///q.kql';
let version = 0;

// Diagnostics of exactly this version.
const diagnosed = () => new Promise((resolve, reject) => {
  const wanted = version;
  waiting.set(Symbol(), { wanted: (params) => params.uri === uri && params.version === wanted, resolve });
  setTimeout(() => reject(new Error(`no diagnostics of version ${wanted}`)), 20000).unref();
});
// Replaces the whole text, or a range of it.
const change = (text, range) => {
  version += 1;
  const answer = diagnosed();
  connection.sendNotification(lsp.DidChangeTextDocumentNotification.type, {
    textDocument: { uri, version }, contentChanges: [range ? { range, text } : { text }],
  });
  return answer;
};
// Opens a text with its cursor at `│`; returns the cursor position in UTF-16 code units, as required by the protocol.
const at = async (marked) => {
  const before = marked.slice(0, marked.indexOf('│'));
  const lines = before.split('\n');
  await change(marked.replace('│', ''));
  return { textDocument: { uri }, position: { line: lines.length - 1, character: lines.at(-1).length } };
};
const applied = (text, edits) => {
  const lines = text.split('\n');
  const offset = ({ line, character }) => lines.slice(0, line).reduce((sum, part) => sum + part.length + 1, 0) + character;
  return [...edits].sort((a, b) => offset(b.range.start) - offset(a.range.start))
    .reduce((whole, edit) => whole.slice(0, offset(edit.range.start)) + edit.newText + whole.slice(offset(edit.range.end)), text);
};

(async () => {
  const { capabilities, serverInfo } = await connection.sendRequest(lsp.InitializeRequest.type, {
    processId: process.pid, rootUri: null, capabilities: { general: { positionEncodings: ['utf-16'] } },
  });
  await check('it introduces itself', () => {
    assert.equal(serverInfo.name, 'bartizan');
    assert.equal(capabilities.positionEncoding, 'utf-16');
    assert.equal(capabilities.textDocumentSync.change, lsp.TextDocumentSyncKind.Incremental);
  });
  connection.sendNotification(lsp.InitializedNotification.type, {});
  version = 1;
  const opened = diagnosed();
  connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: 'kql', version, text: 'Signins | where Usr == "😀" and Usr != ""' },
  });
  await check('diagnostics name the thing, the place and the next step', async () => {
    const found = await opened;
    assert.deepEqual(found.map((wrong) => wrong.code), ['KQL0102', 'KQL0102']);
    assert.match(found[0].message, /no column or variable `Usr`[\s\S]*did you mean `User`/);
    assert.deepEqual(found[0].range, { start: { line: 0, character: 16 }, end: { line: 0, character: 19 } });
    // The character in between is two UTF-16 units and four bytes.
    assert.equal(found[1].range.start.character, 32);
  });
  await check('a quick fix writes what was meant', async () => {
    const range = { start: { line: 0, character: 16 }, end: { line: 0, character: 19 } };
    const actions = await connection.sendRequest(lsp.CodeActionRequest.type, { textDocument: { uri }, range, context: { diagnostics: [] } });
    assert.equal(actions[0].edit.changes[uri][0].newText, 'User');
  });
  await check('texts change in parts', async () => {
    assert.equal((await change('User', { start: { line: 0, character: 16 }, end: { line: 0, character: 19 } })).length, 1);
    assert.equal((await change('User', { start: { line: 0, character: 33 }, end: { line: 0, character: 36 } })).length, 0);
  });
  await check('completion knows the columns, the operators and the kinds of joins', async () => {
    const offered = async (marked) => (await connection.sendRequest(lsp.CompletionRequest.type, await at(marked))).items;
    const columns = await offered('let é = "😀";\nSignins\n| where U│');
    assert.equal(columns[0].label, 'User');
    assert.equal(columns[0].kind, lsp.CompletionItemKind.Field);
    assert.equal(columns[0].detail, 'string');
    assert.deepEqual(columns[0].textEdit.range, { start: { line: 2, character: 8 }, end: { line: 2, character: 9 } });
    assert.ok((await offered('Signins | project-a│')).some((item) => item.label === 'project-away'));
    assert.ok((await offered('Signins | join kind=│')).some((item) => item.label === 'leftanti'));
    const functions = await offered('Signins | extend l = strl│');
    assert.equal(functions[0].label, 'strlen');
    assert.match(functions[0].documentation.value, /strlen\(source: string\): long/);
  });
  await check('hover tells types and tables', async () => {
    const shown = async (marked) => (await connection.sendRequest(lsp.HoverRequest.type, await at(marked)))?.contents.value;
    assert.match(await shown('Signins | extend n = Bytes * 2.0 | where n│ > 1'), /n: real/);
    assert.match(await shown('Sign│ins | take 1'), /\| Bytes \| long \|/);
    assert.equal(await shown('Signins |  │  take 1'), undefined);
  });
  await check('signature help marks the parameter', async () => {
    const help = await connection.sendRequest(lsp.SignatureHelpRequest.type, await at('print datetime_add("day", │'));
    const signature = help.signatures[help.activeSignature];
    assert.match(signature.label, /^datetime_add\(/);
    assert.equal(help.activeParameter, 1);
    const [start, end] = signature.parameters[1].label;
    assert.match(signature.label.slice(start, end), /amount/);
  });
  await check('definitions and symbols are found', async () => {
    const place = await connection.sendRequest(lsp.DefinitionRequest.type, await at('let big = 5;\nSignins | where Bytes > b│ig'));
    assert.deepEqual(place.range.start, { line: 0, character: 4 });
    const symbols = await connection.sendRequest(lsp.DocumentSymbolRequest.type, { textDocument: { uri } });
    assert.deepEqual(symbols.map((symbol) => symbol.name), ['big']);
  });
  await check('renaming changes every use, and is refused where the meaning would change', async () => {
    const marked = 'let big│ = 5;\nSignins | where Bytes > big | extend x = big';
    const where = await at(marked);
    const prepared = await connection.sendRequest(lsp.PrepareRenameRequest.type, where);
    assert.deepEqual(prepared.start, { line: 0, character: 4 });
    const edit = await connection.sendRequest(lsp.RenameRequest.type, { ...where, newName: 'limit' });
    assert.equal(applied(marked.replace('│', ''), edit.changes[uri]), 'let limit = 5;\nSignins | where Bytes > limit | extend x = limit');
    const taken = await at('Signins | extend n│ = 1 | where Bytes > n');
    await assert.rejects(connection.sendRequest(lsp.RenameRequest.type, { ...taken, newName: 'Bytes' }), /mean something else/);
  });
  await check('formatting lays a query out', async () => {
    const text = 'Signins|where Bytes>1 // big\n|take 5';
    await change(text);
    const edits = await connection.sendRequest(lsp.DocumentFormattingRequest.type, { textDocument: { uri }, options: { tabSize: 4, insertSpaces: true } });
    assert.equal(applied(text, edits), 'Signins\n| where Bytes > 1 // big\n| take 5');
  });
  await check('what is not served is refused, and what is closed is unknown', async () => {
    await assert.rejects(connection.sendRequest('textDocument/nothing', {}), /not served/);
    const gone = new Promise((resolve) => waiting.set(Symbol(), { wanted: (params) => params.uri === uri && params.version === undefined, resolve }));
    connection.sendNotification(lsp.DidCloseTextDocumentNotification.type, { textDocument: { uri } });
    assert.deepEqual(await gone, []);
    await assert.rejects(connection.sendRequest(lsp.HoverRequest.type, { textDocument: { uri }, position: { line: 0, character: 0 } }), /not open/);
  });
  const ended = new Promise((resolve) => server.on('exit', resolve));
  await connection.sendRequest(lsp.ShutdownRequest.type);
  await connection.sendNotification(lsp.ExitNotification.type);
  await check('it leaves when asked to', async () => assert.equal(await ended, 0));
  console.log(`${passed} passed`);
})().catch((error) => { console.error(error); server.kill(); process.exitCode = 1; }).finally(() => {
  connection.dispose();
  fs.rmSync(folder, { recursive: true, force: true });
});
