import pytest

from lstmsim.errors import ConfigError
from lstmsim.importers import load_network
from lstmsim.network import LstmLayer, network_from_shape


def test_a_network_in_one_word():
    network = load_network("lstm:units=16,layers=3,timesteps=7,features=2")
    assert network.layers == (LstmLayer(units=16),) * 3
    assert (network.timesteps, network.features, network.layer_steps) == (7, 2, 21)


def test_its_name_is_the_word_in_full():
    network = network_from_shape("lstm: timesteps=5, units=4")
    assert network.name == "lstm:units=4,layers=1,timesteps=5,features=1"
    assert network_from_shape(network.name) == network


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lstm:", "unknown key"),
        ("lstm:units=3", "timesteps is missing"),
        ("lstm:unit=3,timesteps=2", "'units'"),
        ("lstm:units=x,timesteps=2", "KEY=NUMBER"),
        ("lstm:units=0,timesteps=2", "units = 0"),
        ("lstm:units=3,timesteps=2,layers=99999", "1..1024"),
        ("lstm:units=" + "9" * 5000 + ",timesteps=2", "KEY=NUMBER"),
    ],
)
def test_wrong_words_are_refused(text, complaint):
    with pytest.raises(ConfigError) as raised:
        network_from_shape(text)
    assert complaint in str(raised.value)
