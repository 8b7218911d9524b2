from __future__ import annotations

import pytest

from bodega.errors import NotShareable

torch = pytest.importorskip("torch", reason="torch is not installed: uv pip install torch")

DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split()


def nbytes(tensor) -> int:
    return tensor.numel() * tensor.element_size()


def assert_same_tensor(got, wanted) -> None:
    assert type(got) is type(wanted)
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.requires_grad == wanted.requires_grad
    assert torch.equal(got.detach(), wanted.detach())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_read_in_place(store, dtype):
    tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    for wrapped in (tensor, {"t": tensor}):
        stored = store(wrapped)
        got = stored.get()
        got = got["t"] if isinstance(got, dict) else got
        assert_same_tensor(got, tensor)
        assert stored.holds(got.data_ptr(), nbytes(got))
        got.zero_()
    assert stored.encoded.kind == "dict"
    assert store(tensor).encoded.kind == "torch.Tensor"
    assert store(tensor).encoded.schema == {"shape": [2, 3], "dtype": dtype}


UNKNOWN_TO_NUMPY = {
    "float8_e4m3fn": "uint8",
    "float8_e4m3fnuz": "uint8",
    "float8_e5m2": "uint8",
    "float8_e5m2fnuz": "uint8",
    "float8_e8m0fnu": "uint8",
    "complex32": "int32",
}


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")
@pytest.mark.parametrize(("dtype", "same_size"), UNKNOWN_TO_NUMPY.items())
def test_dtypes_that_numpy_does_not_know_are_read_in_place(store, dtype, same_size):
    if not hasattr(torch, dtype):
        pytest.skip(f"this torch has no {dtype}")
    tensor = torch.ones(2, 3).to(getattr(torch, dtype))
    stored = store(tensor)
    got = stored.get()
    assert got.dtype == tensor.dtype
    assert torch.equal(got.view(getattr(torch, same_size)), tensor.view(getattr(torch, same_size)))
    assert stored.holds(got.data_ptr(), nbytes(got))


def test_shapes_and_strides(store):
    cube = torch.arange(24.0).reshape(2, 3, 4)
    for tensor in (
        torch.tensor(3.5),
        torch.empty(0, 3),
        cube.permute(2, 0, 1),
        cube[:, ::2],
        cube[0, 0].expand(5, 4),
        cube.to(torch.bfloat16)[:, 1],
        torch.tensor([1 + 2j]).conj(),
    ):
        assert_same_tensor(store(tensor).get(), tensor)
    assert store(cube.permute(2, 0, 1)).get().stride() == cube.permute(2, 0, 1).stride()


def test_gradients_parameters_and_models(store):
    weights = torch.nn.Parameter(torch.ones(3))
    assert_same_tensor(store(weights).get(), weights)
    frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    assert_same_tensor(store([frozen]).get()[0], frozen)
    tensor = torch.ones(2, requires_grad=True)
    assert_same_tensor(store(tensor).get(), tensor)

    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    stored = store(model)
    got = stored.get()
    data = torch.ones(2, 4)
    assert torch.equal(got(data), model(data))
    assert all(stored.holds(part.data_ptr(), nbytes(part)) for part in got.parameters())
    got(data).sum().backward()


def test_what_is_not_strided_or_has_no_data_is_pickled_by_torch(store):
    sparse = torch.eye(3).to_sparse()
    assert torch.equal(store(sparse).get().to_dense(), sparse.to_dense())
    assert store(torch.ones(2, device="meta")).get().device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_other_devices_are_refused(store):
    with pytest.raises(NotShareable, match=r"\.cpu\(\)"):
        store(torch.ones(3, device="cuda"))
