"""The rehearsal server is Alpaca as far as its clients can tell: schemas, typed models, another client."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
import warnings

import pytest

from tests.live.alpaca_sim.stage import KEY, SECRET, Stage

pytest.importorskip("alpaca", reason="alpaca-py is not installed: pip install -r requirements-live.txt")
OPENING = 1_772_461_800_000_000_000  # 2026-03-02 09:30 New York
# The official example of a package's order breaks the official schema in these places, all of them empty strings.
EMPTY_BY_EXAMPLE = ("asset_class", "side", "symbol", "type")  # type: of each leg


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A server at 10:00 with a filled condor, a working order and a cancelled one."""
    made = Stage(tmp_path_factory.mktemp("server") / "stage")
    made.control("clock", {"until_ns": OPENING + 1800 * 10**9})
    made.filled = post(made, condor(made, "first", -0.01))
    made.working = post(made, condor(made, "second", -9.0))
    made.cancelled = post(made, condor(made, "third", -8.0))
    call(made, "DELETE", f"/v2/orders/{made.cancelled['id']}")
    made.control("clock", {"advance_ns": 10**9})
    yield made
    made.end()


def call(stage, method, path, body=None, keys=True):
    """(status, JSON) of a request."""
    headers = {"Content-Type": "application/json"}
    if keys:
        headers |= {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    request = urllib.request.Request(
        f"http://127.0.0.1:{stage.port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def post(stage, body):
    status, found = call(stage, "POST", "/v2/orders", body)
    assert status == 200, found
    return found


def condor(stage, cid, limit, units=1, **change):
    """A 4-leg order around the spot, 2026-04-17."""
    spot = round(call(stage, "GET", "/v2/stocks/quotes/latest?symbols=SPY")[1]["quotes"]["SPY"]["bp"])
    legs = [("P", spot - 30, "buy"), ("P", spot - 20, "sell"), ("C", spot + 20, "sell"), ("C", spot + 30, "buy")]
    return {
        "qty": str(units), "type": "limit", "time_in_force": "day", "order_class": "mleg", "client_order_id": cid,
        "limit_price": f"{limit:.2f}",
        "legs": [
            {"symbol": f"SPY260417{right}{strike * 1000:08d}", "ratio_qty": "1", "side": side,
             "position_intent": f"{side}_to_open"}
            for right, strike, side in legs
        ],
        **change,
    }  # fmt: skip


# ---------------------------------------------------------------- (a) the broker's own schemas

TRADING = {
    "/v2/account": "Account", "/v2/account/configurations": "AccountConfigurations", "/v2/clock": "legacy_clock",
    "/v2/calendar?start=2026-03-02&end=2026-03-05": "legacy_public_calendar_resp",
    "/v2/orders?status=all&nested=true": ["Order"], "/v2/orders?status=open": ["Order"], "/v2/positions": ["Position"],
    "/v2/options/contracts?underlying_symbols=SPY&expiration_date_lte=2026-05-30&limit=20": {
        "option_contracts": "OptionContract"
    },
    "/v2/account/activities?activity_types=FILL": ["TradingActivities"],
}  # fmt: skip
DATA = {
    "/v1beta1/options/snapshots/SPY?feed=indicative&limit=50": "option_snapshots_resp",
    "/v1beta1/options/quotes/latest?symbols=SPY260417P00560000": "option_latest_quotes_resp",
    "/v2/stocks/bars?symbols=SPY&timeframe=5Min&start=2026-03-02T14:30:00Z": "stock_bars_resp",
}


def breaches(openapi, name, body, file="trading-api.json"):
    """Places at which a body breaks a schema of the description, empty strings of packages' orders left out."""
    from openapi_schema_validator import OAS30Validator

    components = json.loads((openapi / file).read_text())["components"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validator = OAS30Validator({"components": components, "$ref": f"#/components/schemas/{name}"})
        found = list(validator.iter_errors(body))
    return [
        f"{'/'.join(map(str, error.path))}: {error.message[:120]}"
        for error in found
        if not (error.instance == "" and error.path[-1] in EMPTY_BY_EXAMPLE)
    ]


@pytest.mark.parametrize("path", TRADING)
def test_trading_answers_follow_the_brokers_schemas(stage, openapi, path):
    status, body = call(stage, "GET", path)
    assert status == 200
    what = TRADING[path]
    if isinstance(what, dict):
        ((key, name),) = what.items()
        rows = [(name, row) for row in body[key]]
    else:
        rows = [(what[0], row) for row in body] if isinstance(what, list) else [(what, body)]
    assert rows
    for name, row in rows:
        assert breaches(openapi, name, row) == []


@pytest.mark.parametrize("path", DATA)
def test_data_answers_follow_the_brokers_schemas(stage, openapi, path):
    status, body = call(stage, "GET", path)
    assert status == 200 and any(body.values())
    assert breaches(openapi, DATA[path], body, "market-data-api.json") == []


def test_the_official_example_breaks_the_schema_in_the_same_places_only(openapi):
    example = json.loads((openapi / "trading-api.json").read_text())["components"]["examples"]
    assert breaches(openapi, "Order", example["MultilegOptionsOrderResponse"]["value"]) == []


# ---------------------------------------------------------------- (b) alpaca-py's typed models, (c) another client


def test_alpaca_pys_typed_models_read_every_answer(stage):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alpaca.data.historical.option import OptionHistoricalDataClient
        from alpaca.data.requests import OptionChainRequest
        from alpaca.trading.client import TradingClient
        from alpaca.trading.requests import GetCalendarRequest, GetOptionContractsRequest, GetOrdersRequest

        url = f"http://127.0.0.1:{stage.port}"
        client = TradingClient(KEY, SECRET, url_override=url)
        assert str(client.get_account().account_number).startswith("PA")
        assert client.get_clock().is_open
        assert client.get_calendar(GetCalendarRequest(start="2026-03-02", end="2026-03-02"))
        orders = client.get_orders(GetOrdersRequest(status="all", nested=True))
        assert len(orders) == 3 and len(orders[0].legs) == 4
        assert client.get_order_by_client_id("first").status == "filled"
        assert len(client.get_all_positions()) == 4
        asked = GetOptionContractsRequest(underlying_symbols=["SPY"], expiration_date_lte="2026-05-30", limit=10)
        assert client.get_option_contracts(asked).option_contracts
        data = OptionHistoricalDataClient(KEY, SECRET, url_override=url)
        chain = data.get_option_chain(OptionChainRequest(underlying_symbol="SPY", expiration_date="2026-04-17"))
        assert all(snapshot.latest_quote for snapshot in chain.values())


NODE = """
const {Alpaca} = require('@alpacahq/alpaca-trade-api');
const here = (url, init) => fetch(String(url).replace(/^https:[/][/][^/]+/, process.argv[2]), init);
const client = new Alpaca({keyId: 'k', secret: 's', paper: true, fetchApi: here});
const camel = s => s.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
const camels = o => Array.isArray(o) ? o.map(camels) : o && typeof o === 'object'
  ? Object.fromEntries(Object.entries(o).map(([k, v]) => [camel(k), camels(v)])) : o;
(async () => {
  const account = await client.trading.account.getAccount();
  const positions = await client.trading.positions.getAllOpenPositions();
  const order = await client.trading.orders.postOrder({postOrderRequest: camels(JSON.parse(process.argv[3]))});
  await client.trading.orders.deleteOrderByOrderID({orderId: order.id});
  console.log(JSON.stringify([account.accountNumber, positions.length, order.legs.length, order.status]));
})().catch(e => { console.error(e); process.exit(1); });
"""


@pytest.mark.live
def test_alpacas_own_node_client_drives_it(stage, tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    made = subprocess.run(
        ["npm", "install", "--silent", "--no-fund", "--no-audit", "@alpacahq/alpaca-trade-api"], cwd=tmp_path,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"the package @alpacahq/alpaca-trade-api cannot be had here: {made.stderr[:120]}")
    (tmp_path / "drive.js").write_text(NODE)
    order = json.dumps(condor(stage, "from-node", -9.5))
    command = ["node", "drive.js", f"http://127.0.0.1:{stage.port}", order]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    number, positions, legs, status = json.loads(done.stdout)
    assert number.startswith("PA") and (positions, legs, status) == (4, 4, "new")


# ---------------------------------------------------------------- refusals, in the broker's words


def without(order, name):
    return {key: value for key, value in order.items() if key != name}


def each_leg(order, **change):
    """Every leg changed: a value, or None to leave the field out."""
    legs = [{k: v for k, v in {**leg, **change}.items() if v is not None} for leg in order["legs"]]
    return {**order, "legs": legs}


def turned(order):
    legs = [{**leg, "position_intent": leg["position_intent"].replace("open", "close")} for leg in order["legs"]]
    return {**order, "legs": legs}


def naked(order):
    """Two shorts of strikes that nobody holds, and no long."""
    rows = [("P", 530), ("C", 640)]
    legs = [
        {"symbol": f"SPY260501{right}{strike * 1000:08d}", "ratio_qty": "1", "side": "sell",
         "position_intent": "sell_to_open"}
        for right, strike in rows
    ]  # fmt: skip
    return {**order, "legs": legs}


WRONG = {
    "one leg": (lambda o: {**o, "legs": o["legs"][:1]}, 422, "at least 2 legs"),
    "no intent": (lambda o: each_leg(o, position_intent=None), 422, "position intent is required"),
    "ratio": (lambda o: each_leg(o, ratio_qty="2"), 422, "relatively prime"),
    "half a unit": (lambda o: {**o, "qty": "0.5"}, 422, "qty"),
    "twice the same": (lambda o: {**o, "legs": [o["legs"][0]] * 4}, 422, "unique"),
    "sub-penny": (lambda o: {**o, "limit_price": "-1.005"}, 422, "sub-penny"),
    "no price": (lambda o: without(o, "limit_price"), 422, "limit price"),
    "stranger": (lambda o: {**o, "legs": [{**o["legs"][0], "symbol": "SPY260417P00001000"}, *o["legs"][1:]]}, 422,
                 "not found"),
    "naked": (naked, 403, "uncovered"),
    "too many": (lambda o: {**o, "qty": "900"}, 403, "insufficient options buying power"),
    "known id": (lambda o: {**o, "client_order_id": "first"}, 422, "must be unique"),
    "intent turned": (turned, 422, "position intent mismatch"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_order_that_alpaca_refuses_is_refused(stage, name):
    change, status, words = WRONG[name]
    got, body = call(stage, "POST", "/v2/orders", change(condor(stage, f"wrong-{name}", -2.0)))
    assert (got, words in body["message"]) == (status, True), body


def test_requests_without_keys_are_refused(stage):
    assert call(stage, "GET", "/v2/account", keys=False)[0] == 401


def test_ids_of_legs_cannot_be_cancelled_and_packages_not_replaced(stage):
    leg = stage.working["legs"][0]["id"]
    assert call(stage, "DELETE", f"/v2/orders/{leg}")[0] == 422
    assert call(stage, "PATCH", f"/v2/orders/{stage.working['id']}", {"limit_price": "-1"})[0] == 403
    assert call(stage, "DELETE", f"/v2/orders/{stage.filled['id']}")[0] == 422


def test_a_filled_package_costs_what_its_legs_cost(stage):
    body = call(stage, "GET", f"/v2/orders/{stage.filled['id']}?nested=true")[1]
    signs = {"buy": 1, "sell": -1}
    legs = sum(signs[leg["side"]] * round(float(leg["filled_avg_price"]) * 100) for leg in body["legs"])
    assert legs == round(float(body["filled_avg_price"]) * 100) < 0
