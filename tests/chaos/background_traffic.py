"""What else happens in the shop: customers browse, register and log in, and administrators restock and upload."""

import io
from uuid import uuid4

from PIL import Image

from tests.chaos.load_generator import LoadCustomer, LoadGenerator
from tests.chaos.purchase_journeys import OrderStories
from tests.chaos.write_journal import WriteJournal

PASSWORD = "correct horse battery"
MAX_CUSTOMERS = 800
RESTOCK_BELOW = 25
"""SKUs below so many units are restocked after a while; the most popular ones sell out now and then."""

SEARCH_WORDS = ("lamp", "brass", "rug", "copper", "glazed")
IMAGE_PART_HEAD = (
    b'--souk\r\nContent-Disposition: form-data; name="image"; filename="lamp.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
)
CSV_HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"


class CustomerJourneys:
    """Each method is one visit without an order."""

    def __init__(self, load: LoadGenerator) -> None:
        self.load = load
        self.journal: WriteJournal = load.journal
        self.random = load.random

    async def browse(self) -> None:
        paths = (
            f"/products/{self.random.choice(self.load.slugs)}",
            "/products?limit=20",
            f"/products/search?q={self.random.choice(SEARCH_WORDS)}",
            f"/products/suggest?q={self.random.choice(SEARCH_WORDS)}",
        )
        path = self.random.choices(paths, weights=(50, 25, 20, 5))[0]
        signed_in = self.random.random() < 0.5
        token = self.random.choice(self.load.customers).token if signed_in else ""
        await self.load.request("browse", "GET", path, token=token, once=True)

    async def use_account(self) -> None:
        visits = (self.register, self.log_in, self.refresh, self.fail_to_log_in, self.rename)
        await self.random.choices(visits, weights=(35, 35, 15, 5, 10))[0]()

    async def register(self) -> None:
        """A new customer, who comes back to buy."""
        email = f"{uuid4().hex}@example.com"
        body = {"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Lovelace"}
        response = await self.load.request("register", "POST", "/auth/register", body, key=uuid4().hex)
        if response is not None and response.is_success:
            session = response.json
            self.journal.users[email] = session["user"]["id"]
            customer = LoadCustomer(session["access_token"], email)
            if len(self.load.customers) < MAX_CUSTOMERS:
                self.load.customers.append(customer)
                self.load.idle_customers.append(customer)

    async def log_in(self) -> str:
        """Logs in; returns the refresh token or an empty string."""
        if not self.journal.users:
            return ""
        email = self.random.choice(list(self.journal.users))
        body = {"email": email, "password": PASSWORD}
        response = await self.load.request("login", "POST", "/auth/login", body, key=uuid4().hex)
        if response is not None and response.status == 401:
            self.journal.wrong_responses.append(f"{email} was registered and cannot log in")
        return str(response.json["refresh_token"]) if response is not None and response.is_success else ""

    async def refresh(self) -> None:
        """A session goes on, and ends by a logout or by the reuse of a token whose successor is spent."""
        first = await self.log_in()
        second = await self._refreshed(first) if first else ""
        if not second:
            return
        if self.random.random() < 0.5:
            await self.load.request("logout", "POST", "/auth/logout", {"refresh_token": second}, key=uuid4().hex)
            return
        if await self._refreshed(first) not in {second, ""}:  # another tab, or a client that lost the response
            self.journal.wrong_responses.append("a refresh token had two successors")
        if await self._refreshed(second) and await self._refreshed(first):  # now it is a thief
            self.journal.wrong_responses.append("a refresh token was accepted although its successor was spent")

    async def _refreshed(self, token: str) -> str:
        """Returns the successor of a refresh token; empty when none came back."""
        response = await self.load.request(
            "refresh", "POST", "/auth/refresh", {"refresh_token": token}, key=uuid4().hex
        )
        return str(response.json["refresh_token"]) if response is not None and response.is_success else ""

    async def fail_to_log_in(self) -> None:
        email = self.random.choice(self.load.customers).email
        body = {"email": email, "password": "not the password"}
        await self.load.request("login", "POST", "/auth/login", body, once=True)

    async def rename(self) -> None:
        customer = self.random.choice(self.load.customers)
        body = {"first_name": self.random.choice(("Ada", "Grace")), "last_name": "Hopper"}
        await self.load.request("profile", "PUT", "/users/profile", body, token=customer.token)

    # The administrator.

    async def restock(self) -> None:
        """Restocks some SKUs that run low, with a small correction now and then."""
        low = await self.load.request(
            "stock", "GET", f"/inventory?below={RESTOCK_BELOW}&limit=100", token=self.load.admin, once=True
        )
        if low is None or not low.is_success:
            return
        for level in low.json["items"]:
            if level["sku"] in self.load.skus and self.random.random() < 0.6:
                await self.adjust_stock(level["sku"], self.random.choice((20, 30, 40, 60)))
        if self.random.random() < 0.2:
            await self.adjust_stock(self.load.pick_sku(), -1)

    async def adjust_stock(self, sku: str, delta: int) -> None:
        marker = uuid4().hex
        entry = self.journal.record_adjustment_request(marker, sku, delta)
        body = {"delta": delta, "reason": marker}
        path = f"/inventory/{sku}/adjustments"
        response = await self.load.request("restock", "POST", path, body, token=self.load.admin, key=marker)
        entry.acknowledged = response is not None and response.is_success

    async def upload_image(self) -> None:
        """Uploads a product image and reads one of its sizes."""
        target = io.BytesIO()
        colour = tuple(self.random.randrange(256) for _ in range(3))
        Image.new("RGB", (120, 80), colour).save(target, "JPEG")
        content = b"%s%s\r\n--souk--\r\n" % (IMAGE_PART_HEAD, target.getvalue())
        product, token, key = self.random.choice(self.load.products), self.load.admin, uuid4().hex
        path, media = f"/products/{product}/images", "multipart/form-data; boundary=souk"
        response = await self.load.request("image", "POST", path, content, token=token, key=key, media=media)
        if response is not None and response.is_success:
            width = self.random.choice((160, 320, 640))
            await self.load.request("image", "GET", f"//images/{response.json['id']}/{width}.webp", once=True)

    async def import_products(self) -> None:
        """Imports a small file of products with SKUs of their own, which no customer buys."""
        mark = uuid4().hex[:12]
        rows = [f"f-{mark}-{n},Brass lamp {mark},Title,Default Title,F-{mark}-{n},3,19.99" for n in range(2)]
        content = (CSV_HEADER + "\n".join(rows) + "\n").encode()
        token, key = self.load.admin, uuid4().hex
        await self.load.request("import", "POST", "/products/import", content, token=token, key=key, media="text/csv")

    async def cancel_unconfirmed_order(self) -> None:
        """Cancels an order whose payment waits for a confirmation."""
        stories, customer = OrderStories(self.load), self.random.choice(self.load.customers)
        await stories.cancel_unconfirmed_order(customer.token)
