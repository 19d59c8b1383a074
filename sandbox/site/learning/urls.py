"""Addresses of content, below ``/api/``. The names are the ``endpoint`` labels of the metrics."""

from django.urls import path

from learning import views

urlpatterns = [
    path("courses/", views.CourseListView.as_view(), name="course-list"),
    path("courses/<int:course_id>/", views.CourseDetailView.as_view(), name="course-detail"),
    path("courses/<int:course_id>/chapters/", views.CourseChaptersView.as_view(), name="course-chapters"),
    path(
        "courses/<int:course_id>/recommendations/",
        views.CourseRecommendationsView.as_view(),
        name="course-recommendations",
    ),
    path("chapters/<int:chapter_id>/", views.ChapterDetailView.as_view(), name="chapter-detail"),
    path("chapters/<int:chapter_id>/problems/", views.ChapterProblemsView.as_view(), name="chapter-problems"),
    path("problems/<int:problem_id>/", views.ProblemDetailView.as_view(), name="problem-detail"),
]
