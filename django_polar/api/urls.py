"""The REST API; part of ``django_polar.urls``."""

from django.urls import path

from . import customers, me

urlpatterns = [
    path("me/", me.MeView.as_view(), name="api-me"),
    path("me/state/", me.StateView.as_view(), name="api-me-state"),
    path("me/balance/", me.BalanceView.as_view(), name="api-me-balance"),
    path("me/portal-session/", me.PortalSessionView.as_view(), name="api-me-portal-session"),
    path("me/payment-methods/", me.PaymentMethodsView.as_view(), name="api-me-payment-methods"),
    path(
        "me/payment-methods/confirm/",
        me.ConfirmPaymentMethodView.as_view(),
        name="api-me-payment-methods-confirm",
    ),
    path(
        "me/payment-methods/<uuid:id>/",
        me.PaymentMethodView.as_view(),
        name="api-me-payment-method",
    ),
    path("customers/", customers.CustomerListView.as_view(), name="api-customers"),
    path("customers/export/", customers.CustomerExportView.as_view(), name="api-customers-export"),
    path("customers/<uuid:id>/", customers.CustomerView.as_view(), name="api-customer"),
    path(
        "customers/<uuid:id>/state/",
        customers.CustomerStateView.as_view(),
        name="api-customer-state",
    ),
    path(
        "customers/<uuid:id>/refresh/",
        customers.CustomerRefreshView.as_view(),
        name="api-customer-refresh",
    ),
    path(
        "customers/<uuid:id>/balance/",
        customers.CustomerBalanceView.as_view(),
        name="api-customer-balance",
    ),
]
