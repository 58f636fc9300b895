// Reads events as a user of `souk provision --reader`: live, with ordered and with durable consumers of nats.js.
import assert from "node:assert/strict";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const address = new URL(process.argv[2]);
const orderId = process.argv[3];
const filter = `event.order.${orderId}.*`;
const connection = await connect({ servers: address.host, user: address.username, pass: address.password });
const js = jetstream(connection);
const manager = await jetstreamManager(connection);

async function take(consumer, count) {
  const names = [];
  for await (const message of await consumer.consume({ max_messages: 10 })) {
    names.push(message.subject.split(".")[3]);
    if (names.length === count) break;
  }
  return names;
}

const ordered = await js.consumers.get("ORDER", { filter_subjects: [filter] });
assert.deepEqual(await take(ordered, 2), ["placed", "paid"]);

await manager.consumers.add("ORDER", {
  durable_name: "packing",
  ack_policy: AckPolicy.Explicit,
  filter_subject: filter,
});
const durable = await js.consumers.get("ORDER", "packing");
for (let count = 0; count < 2; count++) {
  const message = await durable.next({ expires: 10_000 });
  assert.ok(message, "an event");
  assert.ok(await message.ackAck(), "an acknowledgement");
}
const { num_pending, num_ack_pending } = await manager.consumers.info("ORDER", "packing");
assert.deepEqual([num_pending, num_ack_pending], [0, 0]);
assert.ok(await manager.consumers.delete("ORDER", "packing"));

const errors = [];
const watching = (async () => {
  for await (const status of connection.status()) if (status.type === "error") errors.push(String(status.error));
})();
for (const subject of [`event.order.${orderId}.paid`, "rpc.order.payables", "counts.edge", "deliver.cart.ORDER"]) {
  connection.publish(subject, "{}");
}
await connection.flush();
await connection.flush();
await assert.rejects(manager.streams.delete("ORDER"));
await connection.close();
await watching;
assert.ok(errors.filter((error) => /permissions violation/i.test(error)).length >= 4, errors.join("\n"));
console.log("nats.js read 2 events with an ordered and a durable consumer, and may publish nothing");
