"""The words on an invoice, in each language that the shop can choose for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contracts.order import TaxReason


@dataclass(frozen=True, slots=True)
class InvoiceLabels:
    """The words of one language."""

    invoice: str
    credit_note: str
    bill_to: str
    invoice_number: str
    credit_note_number: str
    date: str
    corrects: str
    """With `{number}` and `{date}` of the invoice."""
    order_number: str
    order_date: str
    vat_id: str
    description: str
    quantity: str
    unit_price: str
    net: str
    tax: str
    rate: str
    gross: str
    discount: str
    shipping: str
    refund: str
    tax_summary: str
    tax_base: str
    total_net: str
    total_tax: str
    total: str
    total_credited: str
    paid: str
    credited: str
    tax_included: str
    tax_excluded: str
    amounts_in: str
    """With `{currency}`."""
    page: str
    """With `{page}` and `{pages}`."""
    zero_rates: Mapping[TaxReason, str]
    """Why no tax is charged."""


_ENGLISH = InvoiceLabels(
    invoice="Invoice",
    credit_note="Credit note",
    bill_to="Bill to",
    invoice_number="Invoice number",
    credit_note_number="Credit note number",
    date="Date of issue",
    corrects="This credit note corrects invoice {number} of {date}.",
    order_number="Order number",
    order_date="Order date",
    vat_id="VAT ID",
    description="Description",
    quantity="Qty",
    unit_price="Unit price",
    net="Net",
    tax="Tax",
    rate="Rate",
    gross="Total",
    discount="Discount",
    shipping="Shipping",
    refund="Partial refund",
    tax_summary="Tax summary",
    tax_base="Taxable amount",
    total_net="Subtotal without tax",
    total_tax="Tax",
    total="Total",
    total_credited="Total credited",
    paid="Paid in full on {date}. No further payment is due.",
    credited="This amount was returned by the means of payment of the order.",
    tax_included="Unit prices and discounts include tax.",
    tax_excluded="Unit prices and discounts do not include tax.",
    amounts_in="All amounts are in {currency}.",
    page="Page {page} of {pages}",
    zero_rates={
        TaxReason.ZERO_RATED: "Zero-rated supply",
        TaxReason.REVERSE_CHARGE: "Reverse charge: the customer accounts for the VAT",
        TaxReason.EXPORT: "Tax-exempt export",
        TaxReason.EXEMPT: "Exempt from tax",
        TaxReason.NOT_COLLECTING: "No tax is collected for this destination",
    },
)
_GERMAN = InvoiceLabels(
    invoice="Rechnung",
    credit_note="Rechnungskorrektur",
    bill_to="Rechnungsempfänger",
    invoice_number="Rechnungsnummer",
    credit_note_number="Korrekturnummer",
    date="Datum",
    corrects="Diese Korrektur bezieht sich auf die Rechnung {number} vom {date}.",
    order_number="Bestellnummer",
    order_date="Bestelldatum",
    vat_id="USt-IdNr.",
    description="Beschreibung",
    quantity="Menge",
    unit_price="Einzelpreis",
    net="Netto",
    tax="Steuer",
    rate="Satz",
    gross="Gesamt",
    discount="Rabatt",
    shipping="Versand",
    refund="Teilerstattung",
    tax_summary="Steuerübersicht",
    tax_base="Bemessungsgrundlage",
    total_net="Nettobetrag",
    total_tax="Steuer",
    total="Gesamtbetrag",
    total_credited="Erstattungsbetrag",
    paid="Vollständig bezahlt am {date}. Es ist keine weitere Zahlung fällig.",
    credited="Der Betrag wurde über das Zahlungsmittel der Bestellung erstattet.",
    tax_included="Einzelpreise und Rabatte verstehen sich einschließlich Steuer.",
    tax_excluded="Einzelpreise und Rabatte verstehen sich ohne Steuer.",
    amounts_in="Alle Beträge in {currency}.",
    page="Seite {page} von {pages}",
    zero_rates={
        TaxReason.ZERO_RATED: "Lieferung zum Nullsatz",
        TaxReason.REVERSE_CHARGE: "Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge)",
        TaxReason.EXPORT: "Steuerfreie Ausfuhrlieferung",
        TaxReason.EXEMPT: "Steuerfrei",
        TaxReason.NOT_COLLECTING: "Für diesen Bestimmungsort wird keine Steuer erhoben",
    },
)
_FRENCH = InvoiceLabels(
    invoice="Facture",
    credit_note="Avoir",
    bill_to="Facturé à",
    invoice_number="Numéro de facture",
    credit_note_number="Numéro d’avoir",
    date="Date d’émission",
    corrects="Cet avoir rectifie la facture {number} du {date}.",
    order_number="Numéro de commande",
    order_date="Date de commande",
    vat_id="N° TVA",
    description="Désignation",
    quantity="Qté",
    unit_price="Prix unitaire",
    net="HT",
    tax="Taxe",
    rate="Taux",
    gross="TTC",
    discount="Remise",
    shipping="Livraison",
    refund="Remboursement partiel",
    tax_summary="Détail des taxes",
    tax_base="Base taxable",
    total_net="Total HT",
    total_tax="Taxes",
    total="Total TTC",
    total_credited="Total de l’avoir",
    paid="Facture acquittée le {date}. Aucun autre paiement n’est dû.",
    credited="Ce montant a été remboursé par le moyen de paiement de la commande.",
    tax_included="Les prix unitaires et les remises sont indiqués TTC.",
    tax_excluded="Les prix unitaires et les remises sont indiqués HT.",
    amounts_in="Tous les montants sont en {currency}.",
    page="Page {page} sur {pages}",
    zero_rates={
        TaxReason.ZERO_RATED: "Opération au taux zéro",
        TaxReason.REVERSE_CHARGE: "Autoliquidation : la TVA est due par le client",
        TaxReason.EXPORT: "Exportation exonérée",
        TaxReason.EXEMPT: "Opération exonérée",
        TaxReason.NOT_COLLECTING: "Aucune taxe n’est perçue pour cette destination",
    },
)
_SPANISH = InvoiceLabels(
    invoice="Factura",
    credit_note="Factura rectificativa",
    bill_to="Facturar a",
    invoice_number="Número de factura",
    credit_note_number="Número de rectificativa",
    date="Fecha de emisión",
    corrects="Esta factura rectifica la factura {number} del {date}.",
    order_number="Número de pedido",
    order_date="Fecha del pedido",
    vat_id="NIF-IVA",
    description="Descripción",
    quantity="Cant.",
    unit_price="Precio",
    net="Neto",
    tax="Impuesto",
    rate="Tipo",
    gross="Total",
    discount="Descuento",
    shipping="Envío",
    refund="Reembolso parcial",
    tax_summary="Desglose de impuestos",
    tax_base="Base imponible",
    total_net="Total sin impuestos",
    total_tax="Impuestos",
    total="Total",
    total_credited="Total rectificado",
    paid="Pagada íntegramente el {date}. No queda ningún importe pendiente.",
    credited="El importe se ha devuelto por el medio de pago del pedido.",
    tax_included="Los precios y los descuentos incluyen impuestos.",
    tax_excluded="Los precios y los descuentos no incluyen impuestos.",
    amounts_in="Todos los importes en {currency}.",
    page="Página {page} de {pages}",
    zero_rates={
        TaxReason.ZERO_RATED: "Operación a tipo cero",
        TaxReason.REVERSE_CHARGE: "Inversión del sujeto pasivo",
        TaxReason.EXPORT: "Exportación exenta",
        TaxReason.EXEMPT: "Operación exenta",
        TaxReason.NOT_COLLECTING: "No se recauda ningún impuesto para este destino",
    },
)

LABELS: Mapping[str, InvoiceLabels] = MappingProxyType({"en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH, "es": _SPANISH})
"""By language, as the setting names it."""
