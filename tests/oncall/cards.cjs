// Parses Adaptive Cards, one JSON a line on standard input, with Microsoft's own renderer; prints its remarks on each as a JSON list.
// The argument is the folder whose `node_modules` holds `adaptivecards`.
const path = require('path');
const AC = require(path.resolve(process.argv[2], 'node_modules/adaptivecards/dist/adaptivecards.js'));
for (const line of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const given = JSON.parse(line);
  const context = new AC.SerializationContext();
  context.targetVersion = new AC.Version(1, 5);
  const card = new AC.AdaptiveCard();
  card.parse(given, context);
  const remarks = [];
  for (let i = 0; i < context.eventCount; i++) remarks.push(context.getEventAt(i).message);
  card.validateProperties().validationEvents.forEach((event) => remarks.push(event.message));
  // What it did not know it dropped: as many elements, runs and actions must be left.
  const kept = card.toJSON(new AC.SerializationContext()) || {};
  const count = (c) => [(c.body || []).length, (c.body || []).flatMap((b) => b.inlines || []).length, (c.actions || []).length].join();
  if (count(kept) !== count(given)) remarks.push(`dropped something: ${count(given)} became ${count(kept)}`);
  console.log(JSON.stringify(remarks));
}
