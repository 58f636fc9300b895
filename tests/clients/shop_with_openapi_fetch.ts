// Registers, signs in, fills a cart, orders and pays, with types from openapi-typescript and requests by openapi-fetch.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi_typescript/schema.js";

const [baseUrl, sku] = process.argv.slice(2) as [string, string];
const email = `fetch-${crypto.randomUUID()}@example.com`;
const password = crypto.randomUUID();
const address: components["schemas"]["AddressInput"] = {
  name: "Ada Lovelace",
  line1: "12 St James's Square",
  city: "London",
  postal_code: "SW1Y 4JH",
  country: "GB",
};

const guest = createClient<paths>({ baseUrl });
const registered = await guest.POST("/api/v1/auth/register", {
  body: { email, password, first_name: "Ada", last_name: "Lovelace" },
});
assert.equal(registered.data?.user.email, email, JSON.stringify(registered.error));

const login = await guest.POST("/api/v1/auth/login", { body: { email, password } });
assert.ok(login.data, JSON.stringify(login.error));
const customer = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${login.data.access_token}` } });

const added = await customer.POST("/api/v1/carts/{id}/items", {
  params: { path: { id: "mine" } },
  body: { sku, quantity: 2 },
});
assert.equal(added.data?.items[0]?.quantity, 2, JSON.stringify(added.error));

const placed = await customer.POST("/api/v1/orders", {
  params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  body: { cart_id: "mine", shipping_address: address, shipping_method: "standard" },
});
assert.equal(placed.data?.status, "pending", JSON.stringify(placed.error));

const path = { id: placed.data.id };
const paid = await customer.POST("/api/v1/orders/{id}/pay", { params: { path }, body: { payment_method: "sim_ok" } });
assert.equal(paid.data?.order_id, path.id, JSON.stringify(paid.error));

for (;;) {
  const order = await customer.GET("/api/v1/orders/{id}", { params: { path } });
  if (order.data?.status === "paid") break;
  assert.equal(order.data?.status, "pending", JSON.stringify(order.error));
}

const refused = await customer.GET("/api/v1/orders/{id}", { params: { path: { id: crypto.randomUUID() } } });
assert.equal(refused.error?.code, "not_found");
