from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("pricing/", views.pricing, name="pricing"),
    path("members/", views.members, name="members"),
    path("account/", views.account, name="account"),
]
