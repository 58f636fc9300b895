// Registers, signs in, fills a cart, orders and pays, with the client that @hey-api/openapi-ts generates.
import assert from "node:assert/strict";
import { client } from "./generated/hey_api/client.gen.js";
import { cartAdd, orderGet, orderPay, orderPlace, userLogin, userRegister } from "./generated/hey_api/index.js";
import type { AddressInput } from "./generated/hey_api/index.js";

const [baseUrl, sku] = process.argv.slice(2) as [string, string];
const email = `hey-${crypto.randomUUID()}@example.com`;
const password = crypto.randomUUID();
const address: AddressInput = {
  name: "Ada Lovelace",
  line1: "12 St James's Square",
  city: "London",
  postal_code: "SW1Y 4JH",
  country: "GB",
};

client.setConfig({ baseUrl });
const registered = await userRegister({ body: { email, password, first_name: "Ada", last_name: "Lovelace" } });
assert.equal(registered.data?.user.email, email, JSON.stringify(registered.error));

const login = await userLogin({ body: { email, password } });
assert.ok(login.data, JSON.stringify(login.error));
const { access_token } = login.data;
client.setConfig({ baseUrl, auth: () => access_token });

const added = await cartAdd({ path: { id: "mine" }, body: { sku, quantity: 2 } });
assert.equal(added.data?.items[0]?.quantity, 2, JSON.stringify(added.error));

const placed = await orderPlace({
  headers: { "Idempotency-Key": crypto.randomUUID() },
  body: { cart_id: "mine", shipping_address: address },
});
assert.equal(placed.data?.status, "pending", JSON.stringify(placed.error));

const path = { id: placed.data.id };
const paid = await orderPay({ path, body: { payment_method: "sim_ok" } });
assert.equal(paid.data?.order_id, path.id, JSON.stringify(paid.error));

for (;;) {
  const order = await orderGet({ path });
  if (order.data?.status === "paid") break;
  assert.equal(order.data?.status, "pending", JSON.stringify(order.error));
}

const refused = await orderGet({ path: { id: crypto.randomUUID() } });
assert.equal(refused.error?.code, "not_found");
