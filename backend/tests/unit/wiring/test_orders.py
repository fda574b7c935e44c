import json
from pathlib import Path

from shadowgraph.core.ids import new_worker_id
from shadowgraph.core.settings import load_settings
from shadowgraph.wiring.orders import Order, order_for, settings_received
from shadowgraph.wiring.plan import Place
from shadowgraph.worker.children import Rules


def test_a_child_gets_the_settings_of_its_parent_as_they_are(tmp_path: Path) -> None:
    settings = load_settings({"GROQ_API_KEY": "gsk_secret", "LEASE_SECONDS": "7"}, home=tmp_path).settings
    place = Place(tmp_path, 1, 1, slots=2)

    sent = json.dumps({**order_for(place, settings, Rules(5, 1, 600), pulse_seconds=0.5), "worker_id": new_worker_id()})
    received = settings_received(Order.model_validate_json(sent))

    assert received == settings.model_copy(update={"worker_slots": 2})
    assert received.groq_api_key.get_secret_value() == "gsk_secret"


def test_a_setting_that_only_the_parent_knows_is_passed_over(tmp_path: Path) -> None:
    order = order_for(
        Place(tmp_path, 1, 1, slots=2), load_settings({}, home=tmp_path).settings, Rules(5, 1, 600), pulse_seconds=0.5
    )
    newer = {**order, "settings": {**order["settings"], "of_next_year": 1}, "worker_id": new_worker_id()}

    assert settings_received(Order.model_validate(newer)).home == tmp_path
